# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 of a worker and of the timer process in turn, every 300 ms, while calls ring reliably over a network that loses 10 %. The short form of t/stress/rel-kill.t.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Lossy;

my $gateway = Velador::Lossy->gateway;
my $v = Velador->start(plan_of(carrier => $gateway->addr), reliable => { '100rel' => 'supported' }, retransmit => { t1 => '100ms', t2 => '400ms', give_up => '320*T1' });
my $killer = Velador::Lossy::killer($v, 0.3);
my $run = Velador::Lossy->run(to => $v->addr, gateway => $gateway, calls => 120, loss => 0.1, rate => 25, seconds => 40, seed => 4711, each => $killer->{each}, linger => 1);
is_deeply($run->{bad}, {}, 'RFC3262-3 120 calls, 10 % lost: 180, 183 with its own description, 200, each once and in that order, in every call');
cmp_ok($killer->{killed}{$_} // 0, '>=', 4, "the $_ was killed " . ($killer->{killed}{$_} // 0) . ' times') for qw(worker timer);
my $all = $v->wait_records(120, 20);
is(scalar(@$all), 120, 'one record a call');
is(scalar(grep { $_->{reason} eq 'normal' } @$all), 120, 'all normal');
$v->done_ok;
done_testing;
