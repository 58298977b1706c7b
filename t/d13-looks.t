# SPDX-License-Identifier: GPL-2.0-or-later
# Busy sockets are looked at by all workers in turn, so the messages of one that is stopped are taken by the others; one that dies is replaced, and the turns go on.
# Meanwhile messages go to the kernel several as one, where the configuration allows that.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of sipp sipp_ok wait_for);

use constant { RATE => 500, CALLS => 3000 };

for my $signal ('STOP', 'KILL') {
	my $port = Velador::free_port();
	my $v = Velador->start(velador => { workers => 2, max_calls => 10_000, heartbeat => '30s' }, listen => { udp_gso => $signal eq 'STOP' ? 'yes' : 'no' },
		plan_of(carrier => "127.0.0.1:$port"));
	my ($second) = grep { $_->{kind} eq 'worker' && $_->{index} == 1 } @{ $v->ctl('status')->{processes} };
	my $uas = sipp(scenario => 'uas-basic', port => $port, count => CALLS, timeout => 60);
	my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => CALLS, rate => RATE, timeout => 60, args => ['-d', 100, '-s', '100', '-l', 10000]);
	ok(wait_for(sub { $v->stat_of('datagrams_shared') > 200 }, 20), "SIG$signal: workers look at each other's sockets");
	kill $signal, $second->{pid};
	my $at = $v->stat_of('datagrams_shared');
	ok(wait_for(sub { $v->stat_of('datagrams_shared') > $at + 300 }, 20), $signal eq 'STOP' ? "a worker's messages are taken by the other" : 'they still do');
	kill 'CONT', $second->{pid} if $signal eq 'STOP';
	sipp_ok("$signal: " . CALLS . ' calls', $uac, $uas) or $v->tell;
	is(scalar(@{ $v->wait_records(CALLS) }), CALLS, 'each call has its record');
	is($v->stat_of('repairs'), $signal eq 'KILL' ? 1 : 0, 'no other worker died');
	my $grouped = $v->stat_of('datagrams_grouped');
	$signal eq 'STOP' ? cmp_ok($grouped, '>', 100, "udp_gso: $grouped datagrams went in groups") : is($grouped, 0, 'udp_gso = no: none went in a group');
	$v->done_ok;
}
done_testing;
