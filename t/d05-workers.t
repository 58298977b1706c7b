# SPDX-License-Identifier: GPL-2.0-or-later
# One caller with one address and port keeps all workers busy; sockets of workers that do not run receive nothing.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of sipp sipp_ok slurp);

# How often a process has slept: a worker that gets datagrams wakes and sleeps.
sub sleeps { return slurp("/proc/$_[0]/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : 0 }

for my $workers (1, 2, 4) {
	my $port = Velador::free_port();
	my $v = Velador->start(velador => { workers => $workers, max_workers => 8 }, plan_of(carrier => "127.0.0.1:$port"));
	my @pids = map { $_->{pid} } grep { $_->{kind} eq 'worker' } @{ $v->ctl('status')->{processes} };
	is(scalar(@pids), $workers, "$workers workers run");
	my %before = map { $_ => sleeps($_) } @pids;
	my $uas = sipp(scenario => 'uas-basic', port => $port, count => 240, timeout => 40);
	my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => 240, rate => 120, timeout => 40, args => ['-d', 100, '-s', '100', '-l', 10000]);
	sipp_ok('240 calls from one port', $uac, $uas) or $v->tell;
	my @slept = sort { $a <=> $b } map { sleeps($_) - $before{$_} } @pids;
	cmp_ok($slept[0], '>', 400 / $workers / 4, "each of $workers had its share (wakes: @slept)");
	is(scalar(@{ $v->wait_records(240) }), 240, 'each call has its record');
	cmp_ok($v->stat_of('resends'), '<', 24, 'hardly anything was lost on the way');
	$v->done_ok;
}
done_testing;
