# SPDX-License-Identifier: GPL-2.0-or-later
# Two thousand calls, in every other one of which an endpoint dies without a word, callers and callees in turn: exactly those end, and each record says why.
# Once with session timers, and once with none: there the safety net finds them. SESSION_CALLS.
use strict;
use warnings;
use Test::More;
use Velador;
use Velador::Many;

use constant { TTL_S => 4, NET_S => 3, T1_S => 0.1 };
my $calls = $ENV{SESSION_CALLS} // 2000;

for (['session timers', {}, 'session_expired', TTL_S], ['no timers', { no_timer => 1 }, 'no_timer_dead', NET_S + 64 * T1_S]) {
	my ($what, $more, $reason, $within_s) = @$_;
	my ($v, $many) = Velador::Many->start({ velador => { max_calls => $calls + 500 }, session => { ttl => TTL_S . 's', no_timer_interval => NET_S . 's' }, retransmit => { t1 => T1_S . 's', t2 => '400ms' } },
		calls => $calls, rate => 500, ttl => TTL_S, hold => 20, dead_every => 2, dead_after => 5, limit => 120, %$more);
	my $got = $many->finish;
	is($got->{established}, $calls, "$what: $calls calls are set up");
	is($got->{dead}, $calls / 2, 'an endpoint dies in half of them');
	is($got->{dead_ended}, $got->{dead}, 'each of those ends');
	is($got->{cut}, 0, 'and no other');
	cmp_ok($got->{dead_max_s}, '<=', $within_s + 64 * T1_S, 'in time');
	my ($reasons, $ids) = Velador::Many::reasons($v, $calls, 30);
	is_deeply([$reasons, $ids], [{ 'caller normal' => $calls / 2, "server $reason" => $calls / 2 }, $calls], 'one record a call, with its reason');
	note(sprintf 'the last dead one was ended %.2f s after its last answer; %d refreshes, %d resends', $got->{dead_max_s}, $got->{refreshes}, $v->stat_of('resends'));
	ok($v->wait_no_calls(60), 'no call is left');
	is_deeply(($v->ctl('check') // {})->{problems}, [], 'veladorctl check finds nothing');
	is($v->stop, 0, 'stops orderly') or $v->tell;
}
done_testing;
