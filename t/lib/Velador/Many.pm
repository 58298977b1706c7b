# SPDX-License-Identifier: GPL-2.0-or-later
package Velador::Many;
# Many calls at once through a Velador, by t/peer/many, with what the proofs of sessions have in common. Options are those of the program, without dashes: calls, rate,
# ttl, hold, loss, ...
#
#	my ($v, $many) = Velador::Many->start({ session => { ttl => '6s' } }, calls => 500, loss => 20);
#	my $got = $many->finish(60);          what it saw, a hash
use strict;
use warnings;
use JSON::PP;
use Velador qw(plan_of free_port spawn slurp reap wait_for now pause build_dir);

sub start {
	my ($class, $sections, %o) = @_;
	my ($callers, $callees) = map { '127.0.0.1:' . free_port() } 1, 2;
	my $v = Velador->start(plan_of(many => $callees), %$sections);
	return ($v, $class->on($v, callers => $callers, callees => $callees, %o));
}

# The same through a Velador that runs already and has a gateway at `callees`.
sub on {
	my ($class, $v, %o) = @_;
	my $self = bless { out => $v->dir . '/many', v => $v, limit => $o{limit} // 120, kills => 0 }, $class;
	$self->{pid} = spawn('t/peer/many', $self->{out}, build_dir() . '/t/peer/many', '--to', $v->addr, map { ('--' . s/_/-/gr, $o{$_}) } sort keys %o);
	return $self;
}

# Waits until it ends, meanwhile doing something now and then (a sub; by default nothing). Returns what it printed, decoded.
sub finish {
	my ($self, $meanwhile) = @_;
	my $status = wait_for(sub {
		$meanwhile->() if $meanwhile;
		my $status = reap($self->{pid}, 0);
		return defined $status ? "=$status" : undef;
	}, $self->{limit} + 20, 't/peer/many');
	my $text = slurp($self->{out});
	my $got = eval { JSON::PP->new->decode($text) };
	Test::More::diag('t/peer/many: ' . ($status // 'does not end') . ": $text") if !$got || $status ne '=0';
	return $got // {};
}

sub timer_pid { my $v = shift; return (map { $_->{kind} eq 'timer' ? $_->{pid} : () } @{ ($v->ctl('status') // {})->{processes} // [] })[0] }

# What to do meanwhile so that the timer process is killed every second; counts in {kills}.
sub killer {
	my $self = shift;
	my $next = now() + 1;
	return sub {
		return if now() < $next;
		$next += 1;
		my $pid = timer_pid($self->{v});
		$self->{kills}++ if $pid && kill 'KILL', $pid;
		return;
	};
}

# The share of the timer's actions that came more than 20 ms after their deadline, percent: at most 1 where the 99th percentile is within 20 ms.
sub late_percent { my $s = shift; return $s->{timer_actions} ? 100 * $s->{timer_lag_over_20ms} / $s->{timer_actions} : 0 }

# Processor time of all processes of a Velador, microseconds, by the scheduler's own nanoseconds. Children that were replaced are not in it.
sub cpu_us { my $v = shift; my $sum = 0; $sum += (split ' ', slurp("/proc/$_->{pid}/schedstat") || 0)[0] / 1000 for @{ $v->ctl('status')->{processes} }; return $sum }

# Each call's record once, by reason: { reason => count }, and the number of Call-IDs.
sub reasons {
	my ($v, $count, $timeout_s) = @_;
	my (%reason, %ids);
	for (@{ $v->wait_records($count, $timeout_s // 20) }) {
		$reason{"$_->{ended_by} $_->{reason}"}++;
		$ids{ $_->{call_id} }++;
	}
	return (\%reason, scalar keys %ids);
}

1;
