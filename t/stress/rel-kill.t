# SPDX-License-Identifier: GPL-2.0-or-later
# The same with 10 % loss, while a worker and the timer process are killed in turn every 300 ms. CALLS, LOSS, SEED in the environment change it.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Lossy;

my ($calls, $loss, $seed) = ($ENV{CALLS} // 1000, $ENV{LOSS} // 0.1, $ENV{SEED} // time);
my $gateway = Velador::Lossy->gateway;
my $v = Velador->start(plan_of(carrier => $gateway->addr), reliable => { '100rel' => 'supported' }, retransmit => { t1 => '100ms', t2 => '400ms', give_up => '320*T1' });
my $killer = Velador::Lossy::killer($v, 0.3);
my $run = Velador::Lossy->run(to => $v->addr, gateway => $gateway, calls => $calls, loss => $loss, rate => 40, seconds => 60 + $calls / 10, seed => $seed, each => $killer->{each}, linger => 2);
is_deeply($run->{bad}, {}, sprintf 'RFC3262-3 %d calls, %d %% lost, workers and timer killed: 180, 183 with its own description, 200, each once and in that order, in every call', $run->{calls}, 100 * $loss);
diag(sprintf '%.0f s, seed %d: %d datagrams sent, %d lost; killed: %s', $run->{seconds}, $seed, @$run{qw(sent lost)}, join ', ', map { "$_ $killer->{killed}{$_}" } sort keys %{ $killer->{killed} });
cmp_ok($killer->{killed}{$_} // 0, '>=', int($run->{seconds} / 0.3 / 3), "the $_ was killed again and again") for qw(worker timer);
my $all = $v->wait_records($calls, 40);
is(scalar(@$all), $calls, 'one record a call');
is(scalar(grep { $_->{reason} ne 'normal' } @$all), 0, 'all normal');
my $s = $v->stats;
diag(join ', ', map { "$_ $s->{$_}" } qw(reliable_sent reliable_resent reliable_dropped pracks_sent pracks_resent pracks_received pracks_unmatched pracks_unanswered prack_timeouts replayed));
$v->done_ok;
done_testing;
