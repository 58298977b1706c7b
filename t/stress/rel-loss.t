# SPDX-License-Identifier: GPL-2.0-or-later
# A thousand calls that ring and have early media reliably, while 30 % of all datagrams are lost, both ways, on both legs: every description reaches its caller once,
# in order, before the 200, and no call fails that succeeds without loss. CALLS, LOSS, SEED in the environment change it.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Lossy;

my ($calls, $loss, $seed) = ($ENV{CALLS} // 1000, $ENV{LOSS} // 0.3, $ENV{SEED} // time);
my $gateway = Velador::Lossy->gateway;
my $v = Velador->start(plan_of(carrier => $gateway->addr), reliable => { '100rel' => 'supported' }, retransmit => { t1 => '100ms', t2 => '400ms', give_up => '320*T1' });
my $records = 0;
for my $p (0, $loss) {
	my $run = Velador::Lossy->run(to => $v->addr, gateway => $gateway, calls => $calls, loss => $p, rate => 40, seconds => 60 + $calls / 10, seed => $seed, linger => 2);
	is_deeply($run->{bad}, {}, sprintf 'RFC3262-3 %d calls, %d %% lost: 180, 183 with its own description, 200, each once and in that order, in every call', $run->{calls}, 100 * $p);
	diag(sprintf '%.0f s, seed %d: %d datagrams sent by both ends, %d lost on the way from or to them', @$run{qw(seconds)}, $seed, @$run{qw(sent lost)});
	$records += $calls;
	my $all = $v->wait_records($records, 40);
	is(scalar(@$all), $records, 'one record a call');
	is(scalar(grep { $_->{reason} ne 'normal' } @$all), 0, 'all normal');
}
my $s = $v->stats;
diag(join ', ', map { "$_ $s->{$_}" } qw(reliable_sent reliable_resent reliable_dropped pracks_sent pracks_resent pracks_received pracks_unmatched pracks_unanswered prack_timeouts resends));
$v->done_ok;
done_testing;
