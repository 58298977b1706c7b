# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 of any child, ten a second, under load: no call is lost, no record is lost or doubled.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of sipp sipp_ok wait_for slurp now);

my ($rate, $seconds) = (100, $ENV{VELADOR_KILL_SECONDS} // 10);
my $count = $rate * $seconds;
my $port = Velador::free_port();
my $v = Velador->start(plan_of(carrier => "127.0.0.1:$port"));
my $supervisor = $v->pid;
sub children { return split ' ', slurp("/proc/$supervisor/task/$supervisor/children") }
my $all = children();

# Who dies between sending and noting it leaves its successor to send once more: a repeat after the next message is legal, and SIPp must bear it.
my @bear = ('-default_behaviors', 'all,-abortunexp', '-l', 10000);
my $uas = sipp(scenario => 'uas-basic', port => $port, count => $count, timeout => $seconds + 40, args => [@bear]);
my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => $count, rate => $rate, timeout => $seconds + 40, args => [@bear, '-d', 500, '-s', '100']);
my ($began, $kills, $slowest) = (now(), 0, 0);
while (now() < $began + $seconds) {
	my @now = children();
	my $victim = $now[rand @now];
	my $next = now() + 0.1;
	if ($victim && kill 'KILL', $victim) {
		$kills++;
		wait_for(sub { return children() >= $all && !grep { $_ == $victim } children() }, 5, 'a replacement');
		$slowest = now() - $next + 0.1 if now() - $next + 0.1 > $slowest;
	}
	Velador::pause(0.005) while now() < $next;
}
sipp_ok("$count calls at $rate a second, $kills children killed", $uac, $uas) or $v->tell;
cmp_ok($kills, '>=', 5 * $seconds, 'enough of them');
is($v->pid, $supervisor, 'the supervisor lives');
note(sprintf 'the slowest replacement was forked within %.0f ms', $slowest * 1000);
my $records = $v->wait_records($count, 15);
my %ids;
$ids{ $_->{call_id} }++ for @$records;
is(scalar(@$records), $count, 'one record a call');
is(scalar(keys %ids), $count, 'none doubled');
is_deeply([grep { $_->{reason} ne 'normal' || $_->{ended_by} ne 'caller' } @$records], [], 'every one a normal end');
cmp_ok($v->stat_of('repairs'), '>=', 0.8 * $kills, 'deaths were repaired (but those before a child had begun)');
for my $call (@{ $v->ctl('calls') // [] }) {
	diag(explain($call, $v->ctl('call', $call->{id})));
}
my $s = $v->stats;
(@$records == $count ? \&note : \&diag)->(join ', ', map { "$_ $s->{$_}" } grep { /^calls|^record|^repair|^poison|^objects/ } sort keys %$s);
$v->done_ok;
done_testing;
