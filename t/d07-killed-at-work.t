# SPDX-License-Identifier: GPL-2.0-or-later
# A worker killed again and again, each time as soon as it has done something: that is no start that fails, so each successor is there within 100 ms, and
# calls go on. (One that dies before it has done anything is forked ever more slowly: d02.)
use strict;
use warnings;
use List::Util qw(max);
use Test::More;
use Velador qw(now plan_of sipp sipp_ok slurp wait_for);

my ($kills, $rate, $count) = (20, 100, 400);
my $port = Velador::free_port();
my $v = Velador->start(velador => { workers => 1 }, plan_of(carrier => "127.0.0.1:$port"));
my $supervisor = $v->pid;
sub worker { return (grep { slurp("/proc/$_/comm") eq "velador-w0\n" } split ' ', slurp("/proc/$supervisor/task/$supervisor/children"))[0] }

my @bear = ('-default_behaviors', 'all,-abortunexp', '-l', 10000);
my $uas = sipp(scenario => 'uas-basic', port => $port, count => $count, timeout => 60, args => [@bear]);
my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => $count, rate => $rate, timeout => 60, args => [@bear, '-d', 1000, '-s', '100']);
my ($pid, $sent, @took_ms) = (worker(), 0);
for (1 .. $kills) {
	$v->wait_stat('datagrams_out', $sent + 1);
	my $killed = now();
	kill 'KILL', $pid;
	my $next = wait_for(sub { my $is = worker(); return $is && $is != $pid ? $is : undef }, 10, 'a successor') or last;
	push @took_ms, (now() - $killed) * 1000;
	$sent = $v->stat_of('datagrams_out');
	$pid = $next;
}
is(scalar(@took_ms), $kills, "$kills deaths");
cmp_ok(max(@took_ms), '<=', 100, sprintf 'each successor is there within 100 ms (%.0f)', max(@took_ms)) or diag(join ' ', map { int } @took_ms);
sipp_ok("$count calls meanwhile", $uac, $uas) or $v->tell;
my %ids;
$ids{ $_->{call_id} }++ for grep { $_->{reason} eq 'normal' } @{ $v->wait_records($count, 15) };
is(scalar(keys %ids), $count, 'each with its record');
$v->done_ok;
done_testing;
