# SPDX-License-Identifier: GPL-2.0-or-later
# Sessions under losses, deaths of endpoints and of the timer process, in small; at their full size in t/stress (make stress-calls).
use strict;
use warnings;
use Test::More;
use Velador;
use Velador::Many;

use constant { CALLS => 80, TTL_S => 4, GRACE_S => 2, T1_S => 0.05 };
my ($v, $many) = Velador::Many->start({
	session    => { ttl => TTL_S . 's', update_segment => 3, timeout_early_hangup => GRACE_S . 's' },
	retransmit => { t1 => T1_S . 's', t2 => '200ms', resend_interval => '0.05,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1' } },
	calls => CALLS, rate => 100, ttl => TTL_S, hold => 9.5, dead_every => 4, dead_after => 4, reinvite_every => 3, loss => 20, t1 => T1_S * 1000, limit => 40);
my $got = $many->finish($many->killer);
is($got->{established}, CALLS, CALLS . ' calls, every fifth datagram lost both ways, the timer process killed every second');
cmp_ok($many->{kills}, '>=', 7, "$many->{kills} times");
cmp_ok($got->{fewest}, '>=', 5, 'each living leg is refreshed again and again');
is($got->{cut}, 0, 'no living call is cut');
is($got->{dead_ended}, CALLS / 4, 'one in four loses an endpoint, and ends');
cmp_ok($got->{dead_max_s}, '<=', TTL_S + GRACE_S + 64 * T1_S, 'within TTL + grace + 64*T1');
is($got->{cseq_bad}, 0, 'RFC3261-12.2.1.1 no request with a lower number');
my ($reasons, $ids) = Velador::Many::reasons($v, CALLS, 20);
is_deeply([$reasons, $ids], [{ 'caller normal' => CALLS * 3 / 4, 'server session_expired' => CALLS / 4 }, CALLS], 'one record a call, with its reason');
$v->done_ok;

# All refreshes in their windows, as the endpoints see them.
($v, $many) = Velador::Many->start({ session => { ttl => TTL_S . 's' } }, calls => 5 * CALLS, rate => 400, ttl => TTL_S, hold => 5, low => TTL_S * 450 - 25, high => TTL_S * 500 + 50, limit => 40);
$got = $many->finish;
is($got->{established}, 5 * CALLS, 5 * CALLS . ' calls');
cmp_ok($got->{fewest}, '>=', 2, 'each leg refreshed twice');
is($got->{early}, 0, 'no refresh before its window') or diag("$got->{early_max_ms} ms");
is($got->{late}, 0, 'none more than 50 ms behind it') or diag("$got->{late} of $got->{refreshes}, by $got->{late_max_ms} ms more");
is($got->{cut} + $got->{failed}, 0, 'all live');
cmp_ok(Velador::Many::late_percent($v->stats), '<=', 1, 'the 99th percentile of the timer\'s lag is within 20 ms');
$v->done_ok;
done_testing;
