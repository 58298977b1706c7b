# SPDX-License-Identifier: GPL-2.0-or-later
# A third of all datagrams is lost, both ways, on both legs: every description that a gateway sends reliably reaches its caller once, in order, before the 200, and no
# call fails. The short form of t/stress/rel-loss.t.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Lossy;

my $gateway = Velador::Lossy->gateway;
my $v = Velador->start(plan_of(carrier => $gateway->addr), reliable => { '100rel' => 'supported' }, retransmit => { t1 => '100ms', t2 => '400ms', give_up => '320*T1' });
my $run = Velador::Lossy->run(to => $v->addr, gateway => $gateway, calls => 100, loss => 0.3, rate => 50, seconds => 40, seed => 4711, linger => 1);
is_deeply($run->{bad}, {}, 'RFC3262-3 100 calls, 30 % lost: 180, 183 with its own description, 200, each once and in that order, in every call');
cmp_ok($run->{lost}, '>', 300, "though $run->{lost} datagrams were lost");
my $all = $v->wait_records(100, 20);
is(scalar(grep { $_->{reason} eq 'normal' } @$all), 100, 'one record a call, all normal');
my $s = $v->stats;
cmp_ok($s->{$_}, '>', 0, "the timer process had its part: $_") for qw(pracks_resent reliable_resent);
is($s->{pracks_sent}, 200, 'RFC3262-4 one PRACK for each reliable response, whatever was repeated');
$v->done_ok;
done_testing;
