# SPDX-License-Identifier: GPL-2.0-or-later
# Twenty thousand calls held at once, refreshed on both legs all the time: each refresh in its window, the timer's lag, the processor time of a refresh; the same with the
# timer process killed every second. SESSION_HELD calls, SESSION_RATE a second to set them up.
use strict;
use warnings;
use Test::More;
use Velador qw(wait_for now);
use Velador::Many;

use constant { TTL_S => 20, LATE_MS => 50, EARLY_MS => 25, HOLD_S => 42, MEASURE_S => 20 };
my $calls = $ENV{SESSION_HELD} // 20_000;
my $rate = $ENV{SESSION_RATE} // 800;
my $arena = "/dev/shm/velador-load-$$";

for my $kill (0, 1) {
	my $how = $kill ? 'the timer process killed every second' : 'undisturbed';
	my ($v, $many) = Velador::Many->start({ velador => { max_calls => $calls + 2000, shm_file => $arena }, session => { ttl => TTL_S . 's' } },
		calls => $calls, rate => $rate, ttl => TTL_S, hold => HOLD_S, low => TTL_S * 450 - EARLY_MS, high => TTL_S * 500 + LATE_MS, limit => 200);
	my ($cpu, $before, $after, $began);
	my $killer = $kill ? $many->killer : sub { };
	my $look = now();
	my $got = $many->finish(sub {
		$killer->();
		return if $after || now() < $look;
		$look = now() + 0.5;
		my $s = $v->stats;
		if (!$before && ($s->{calls_answered} // 0) >= $calls) {
			($before, $began, $cpu) = ($s, now(), Velador::Many::cpu_us($v));
		} elsif ($before && now() >= $began + MEASURE_S) {
			($after, $cpu) = ($s, Velador::Many::cpu_us($v) - $cpu);
		}
	});
	is($got->{established}, $calls, "$how: $calls calls are set up");
	cmp_ok($got->{fewest}, '>=', 4, 'each leg refreshed at least four times');
	is($got->{cut}, 0, 'no call is cut');
	# A confirmation counts from when its batch was taken; the answer leaves when the batch is done.
	is($got->{early}, 0, 'no refresh before its window') or diag("$got->{early_max_ms} ms too early");
	is($got->{late}, 0, 'none more than ' . LATE_MS . ' ms behind it') or diag("$got->{late} of $got->{refreshes}, the worst by $got->{late_max_ms} ms more");
	ok($before && $after, 'measured while all were held') or BAIL_OUT('the calls were not held long enough');
	my %d = map { $_ => $after->{$_} - $before->{$_} } qw(refreshes_answered timer_actions timer_lag_over_20ms timer_lag_sum_ms);
	my $late = 100 * $d{timer_lag_over_20ms} / ($d{timer_actions} || 1);
	cmp_ok($late, '<=', 1, 'the 99th percentile of the timer\'s lag is within 20 ms');
	note(sprintf '%d calls, %.0f refreshes a second; %.3f %% of %d actions over 20 ms, %.1f ms in the mean, at most %d ms; worst refresh %.1f ms %s its window; %s; timer killed %d times',
		$calls, $d{refreshes_answered} / MEASURE_S, $late, $d{timer_actions}, $d{timer_lag_sum_ms} / ($d{timer_actions} || 1), $after->{timer_lag_max_ms},
		abs($got->{late_max_ms} + LATE_MS), $got->{late_max_ms} > -LATE_MS ? 'behind' : 'before the end of',
		$kill ? 'CPU not measured' : sprintf('%.1f us of CPU a refresh', $cpu / ($d{refreshes_answered} || 1)), $many->{kills});
	cmp_ok($many->{kills}, '>=', 20, 'killed often enough') if $kill;
	is($got->{left}, $calls, 'every caller hangs up');
	my ($reasons, $ids) = Velador::Many::reasons($v, $calls, 30);
	is_deeply([$reasons, $ids], [{ 'caller normal' => $calls }, $calls], 'one record a call');
	ok($v->wait_no_calls(60), 'no call is left');
	is_deeply(($v->ctl('check') // {})->{problems}, [], 'veladorctl check finds nothing');
	is($v->stop, 0, 'stops orderly') or $v->tell;
	unlink $arena;
}
done_testing;
