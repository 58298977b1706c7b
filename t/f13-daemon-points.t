# SPDX-License-Identifier: GPL-2.0-or-later
# Deaths at fixed points of the processes' own work: after receiving, before and after sending, between writing and committing a record. Each incarnation
# dies at its N-th passage; every call goes through, every record is written once.
use strict;
use warnings;
use Test::More;
use Velador qw(build_dir plan_of sipp sipp_ok);

$ENV{VELADOR_PROGRAM} = build_dir() . '/t/velador-inject';
-x $ENV{VELADOR_PROGRAM} or plan(skip_all => 'velador-inject is not built');
my %points = ('wrk.journal' => 60, 'wrk.received' => 70, 'wrk.sent' => 80, 'tmr.acted' => 25, 'rec.written' => 3, 'rec.uncommitted' => 3, 'rec.committed' => 3,
	'shm.limbo.entry' => 90, 'net.taken' => 40);
my $count = 80;

for my $point (sort keys %points) {
	local $ENV{VELADOR_INJECT} = "$point:$points{$point}";
	my $port = Velador::free_port();
	my $v = Velador->start(plan_of(carrier => "127.0.0.1:$port"));
	my $uas = sipp(scenario => $point =~ /^tmr/ ? 'uas-slow' : 'uas-basic', port => $port, count => $count, timeout => 40, args => $point =~ /^tmr/ ? ['-d', 800] : []);
	my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => $count, rate => 60, timeout => 40, args => ['-d', 200, '-s', '100', '-l', 10000]);
	sipp_ok("$point: $count calls", $uac, $uas) or $v->tell;
	my %ids;
	$ids{ $_->{call_id} }++ for @{ $v->wait_records($count, 15) };
	is(scalar(keys %ids), $count, 'every call has a record');
	is((scalar grep { $_ != 1 } values %ids), 0, 'and only one');
	my $deaths = () = $v->log_text =~ /was killed by signal 9/g;
	cmp_ok($deaths, '>=', 1, "$deaths deaths");
	ok($v->wait_no_calls(10), 'no call is left');
	is_deeply(($v->ctl('check') // {})->{problems}, [], 'the arena is sound');
	$v->stop;
}
done_testing;
