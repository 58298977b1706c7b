# SPDX-License-Identifier: GPL-2.0-or-later
# RFC 3261 18.4: a gateway whose port is closed, and a burst of calls to it that leaves in one batch. Each goes to the next gateway when the network says so: at once,
# or, where several went to the kernel as one and the network answered to the first of them only, at its first resend; none waits for invite_timeout.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Velador qw(plan_of wait_for);
use Velador::Peer;

use constant { CALLS => 24, RESEND_S => 0.5, SLACK_S => 1 };

for my $gso ('no', 'yes') {
	my $second = Velador::Peer->new(name => 'second');
	my $v = Velador->start(
		velador => { workers => 1, heartbeat => '30s' },
		listen  => { udp_gso => $gso },
		plan_of(
			dead   => { address => '127.0.0.1:' . Velador::free_port(), priority => 1, prefix => 2, invite_timeout => '8s', resend_interval => RESEND_S . ',1,2,4' },
			second => { address => $second->addr, priority => 2, prefix => 2 },
		),
	);
	my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
	my ($worker) = grep { $_->{kind} eq 'worker' } @{ $v->ctl('status')->{processes} };
	my %at;
	$second->auto(sub {
		my ($m, $peer) = @_;
		return 0 unless ($m->{method} // '') eq 'INVITE';
		$at{ $m->call_id } //= $m->{time};
		$peer->reply($m, 486);
		return 1;
	});
	my @calls = map { $phone->dialog(user => '2000') } 1 .. CALLS;
	my %call = map { $_->{call_id} => $_ } @calls;
	$phone->auto(sub {
		my $m = shift;
		$call{ $m->call_id }->ack_failure($m) if ($m->{status} // 0) >= 300;
		return 1;
	});
	kill 'STOP', $worker->{pid};    # so that it finds them all at once
	$_->invite for @calls;
	my $start = time;
	kill 'CONT', $worker->{pid};
	ok(wait_for(sub { Velador::Peer::pump(0.02); return keys %at == CALLS }, 10), "RFC3261-18.4: udp_gso = $gso: each of " . CALLS . ' calls reaches the second gateway');
	my ($last) = sort { $b <=> $a } map { $_ - $start } values %at;
	my $limit = $gso eq 'no' ? SLACK_S : RESEND_S + SLACK_S;
	cmp_ok($last, '<', $limit, sprintf 'RFC3261-18.4: the last after %.2f s', $last);
	cmp_ok($v->stat_of('datagrams_grouped'), $gso eq 'no' ? '==' : '>=', $gso eq 'no' ? 0 : 4, 'what went in groups: ' . $v->stat_of('datagrams_grouped'));
	ok(wait_for(sub { Velador::Peer::pump(0.02); return $v->stat_of('calls_ended') >= CALLS }, 10), 'all end');
	$v->done_ok;
}
done_testing;
