# SPDX-License-Identifier: GPL-2.0-or-later
# Every fifth datagram lost, both ways: sessions of at least six refreshes live on, the dead end in time; the same with the timer process killed every second.
# SESSION_CALLS, SESSION_SEED.
use strict;
use warnings;
use Test::More;
use Velador;
use Velador::Many;

use constant { TTL_S => 6, GRACE_S => 2, T1_S => 0.05, REFRESHES => 6 };
my $calls = $ENV{SESSION_CALLS} // 500;
my $seed = $ENV{SESSION_SEED} // time % 100_000;
# An INVITE's waits double without end unless the operator lists them: on a lossy network he does (PARAMETERS: "lossy: more aggressive list").
my $sections = {
	session    => { ttl => TTL_S . 's', update_segment => 3, timeout_early_hangup => GRACE_S . 's' },
	retransmit => { t1 => T1_S . 's', t2 => '200ms', resend_interval => '0.05,0.1,0.15,0.2,0.2,0.2,0.2,0.2,0.2,0.2' },
};

for my $kill (0, 1) {
	my $how = $kill ? 'the timer process killed every second' : 'undisturbed';
	my ($v, $many) = Velador::Many->start($sections, calls => $calls, rate => $calls / 2, ttl => TTL_S, hold => 15, dead_every => 5, dead_after => 13, reinvite_every => 3, loss => 20, t1 => T1_S * 1000,
		seed => $seed + $kill, limit => 90);
	my $got = $many->finish($kill ? $many->killer : undef);
	is($got->{established}, $calls, "$how, seed $seed: $calls calls are set up");
	cmp_ok($got->{fewest}, '>=', REFRESHES, "each leg refreshed at least @{[REFRESHES]} times");
	is($got->{cut}, 0, 'no living call is cut');
	is($got->{dead_ended}, $got->{dead}, "the $got->{dead} dead are ended");
	cmp_ok($got->{dead_max_s}, '<=', TTL_S + GRACE_S + 64 * T1_S, 'each within TTL + grace + 64*T1');
	is($got->{left}, $calls - $got->{dead}, 'the others leave as they wish');
	is($got->{cseq_bad}, 0, 'RFC3261-12.2.1.1 no number comes twice');
	my ($reasons, $ids) = Velador::Many::reasons($v, $calls, 20);
	is_deeply([$reasons, $ids], [{ 'caller normal' => $calls - $got->{dead}, 'server session_expired' => $got->{dead} }, $calls], 'one record a call, with its reason');
	my $s = $v->stats;
	note(sprintf '%d refreshes (%d came again), the dead ended after %.2f s at most; %d resends, %d attempts without answer, %d sessions saved in the grace; timer killed %d times', $got->{refreshes},
		$got->{repeats}, $got->{dead_max_s}, @$s{qw(resends refreshes_unanswered sessions_saved)}, $many->{kills});
	cmp_ok($many->{kills}, '>=', 10, 'killed often enough') if $kill;
	ok($v->wait_no_calls(60), 'no call is left');
	is_deeply(($v->ctl('check') // {})->{problems}, [], 'veladorctl check finds nothing');
	is($v->stop, 0, 'stops orderly') or $v->tell;
}
done_testing;
