# SPDX-License-Identifier: GPL-2.0-or-later
# The timer process sleeps while nothing is due, and is rung where something comes before it would have looked.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Velador qw(build_dir plan_of slurp wait_for);
use Velador::Peer;

use constant { CALLS => 10, TOLERANCE_S => 0.020, AWAKENINGS_S => 50 };
my @list = (0.01, 0.05, 0.1);    # the first is far shorter than its sleep

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => { address => $carrier->addr, resend_interval => join(',', @list) }));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

my ($timer) = grep { $_->{kind} eq 'timer' } @{ $v->ctl('status')->{processes} };
sub awakenings {
	my ($n) = slurp("/proc/$timer->{pid}/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m;
	return $n;
}

# Counted over two seconds, or more where the machine is busy. The start, which enters the arena piece by piece, may fall into the first.
my $calm = wait_for(sub {
	my ($from, $at) = (awakenings(), time);
	wait_for(sub { time > $at + 2 }, 10);
	my $a_second = (awakenings() - $from) / (time - $at);
	note(sprintf 'the timer process wakes %.0f times a second', $a_second);
	return $a_second < AWAKENINGS_S;
}, 20);
ok($calm, 'while nothing is due it sleeps');

# Calls one after the other that the carrier leaves without an answer. Returns the seconds by which each of the first `n` resends was off its time.
sub late {
	my ($n) = @_;
	my %times;
	$carrier->auto_off;
	$carrier->auto(sub {
		my $m = shift;
		return 0 unless ($m->{method} // '') eq 'INVITE';
		push @{ $times{ $m->call_id } }, $m->{time};
		return 1;
	});
	for my $i (1 .. CALLS) {
		$phone->dialog->invite;
		wait_for(sub { Velador::Peer::pump(0.005); return keys %times == $i && !grep { @$_ <= $n } values %times }, 10, "the resends of call $i");
	}
	is(scalar(grep { @$_ > $n } values %times), CALLS, 'each call was sent again');
	my @late;
	for my $at (values %times) {
		my $due = $at->[0];
		for my $i (1 .. $n) {
			$due += $list[ $i - 1 ];
			push @late, defined $at->[$i] ? abs($at->[$i] - $due) : 10;
		}
	}
	return sort { $b <=> $a } @late;
}

my ($worst) = late(scalar @list);
cmp_ok($worst, '<=', TOLERANCE_S, sprintf 'and in time: %.1f ms off at worst', $worst * 1000);
is($v->stop, 0, 'stops orderly');

# Workers that die when they have changed a call, before they could ring: their successors ring at once.
{
	local $ENV{VELADOR_PROGRAM} = build_dir() . '/t/velador-inject';
	local $ENV{VELADOR_INJECT} = 'child.unrung:1';
	$v = Velador->start(plan_of(carrier => { address => $carrier->addr, resend_interval => '0.01,5' }));
	$phone = Velador::Peer->new(name => 'phone', to => $v->addr);
	($worst) = late(1);
	cmp_ok($worst, '<=', TOLERANCE_S, sprintf 'after deaths before the bell: %.1f ms off at worst', $worst * 1000);
	my $deaths = () = $v->log_text =~ /was killed by signal 9/g;
	cmp_ok($deaths, '>=', 3, "$deaths deaths");
	is($v->stop, 0, 'stops orderly');
}
done_testing;
