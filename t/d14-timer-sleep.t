# SPDX-License-Identifier: GPL-2.0-or-later
# The timer process sleeps while nothing is due, and is rung where something comes before it would have looked.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Velador qw(plan_of slurp wait_for);
use Velador::Peer;

use constant { CALLS => 10, TOLERANCE_S => 0.020, AWAKENINGS_S => 50 };
my @list = (0.01, 0.05, 0.1);    # the first is far shorter than its sleep

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => { address => $carrier->addr, resend_interval => join(',', @list) }));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

sub awakenings {
	my ($timer) = grep { $_->{kind} eq 'timer' } @{ $v->ctl('status')->{processes} };
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

my %times;
$carrier->auto(sub {
	my $m = shift;
	return 0 unless ($m->{method} // '') eq 'INVITE';
	push @{ $times{ $m->call_id } }, $m->{time};
	return 1;
});
for my $i (1 .. CALLS) {
	$phone->dialog->invite;
	wait_for(sub { Velador::Peer::pump(0.005); return keys %times == $i && !grep { @$_ <= @list } values %times }, 10, "the resends of call $i");
}
my @late;
for my $at (values %times) {
	my $due = $at->[0];
	for my $i (1 .. @list) {
		$due += $list[ $i - 1 ];
		push @late, abs(($at->[$i] // 0) - $due);
	}
}
my ($worst) = sort { $b <=> $a } @late;
is(scalar @late, CALLS * @list, 'each call was sent again three times');
cmp_ok($worst, '<=', TOLERANCE_S, sprintf 'and in time: %.1f ms off at worst', $worst * 1000);
is($v->stop, 0, 'stops orderly');
done_testing;
