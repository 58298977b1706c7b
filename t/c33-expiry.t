# SPDX-License-Identifier: GPL-2.0-or-later
# Sessions that nobody confirms end, those that somebody does go on; and the safety net for endpoints without timer.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;

my $gw = Velador::Endpoint->new(name => 'gw');
my $to = $gw->addr;
my %net = (ttl => '600s', no_timer_interval => '1s');
my $v = Velador->start(
	plan_of(
		plain => { prefix => '1', address => $to, ttl => '2s' },
		grace => { prefix => '2', address => $to, ttl => '2s', timeout_early_hangup => '2s' },
		ask   => { prefix => '3', address => $to, %net },
		limit => { prefix => '4', address => $to, %net, no_timer_action => 'hangup' },
		off   => { prefix => '5', address => $to, ttl => '600s', no_timer_interval => 0 }),
	session    => { ttl => '600s', no_timer_interval => '1h' },
	retransmit => { t1 => '50ms', t2 => '400ms' });
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr, timer => 0);

sub live { return Velador::Endpoint::live(@_) }
sub both { my $call = shift; return live(sub { @{ $phone->byes($call) } && @{ $gw->byes($call) } }, 8, 'BYE to both') }
sub after { my ($peer, $call) = @_; my $bye = $peer->byes($call)->[0]; return $bye ? $bye->{time} - $call->{answered} : -1 }
sub ended_as {
	my ($title, $call, $reason, $text) = @_;
	both($call);
	my $record = $v->wait_record_of($call->{call_id}, 40);
	is("@$record{qw(ended_by reason)}", "server $reason", "$title: the record");
	for my $peer ($phone, $gw) {
		my $bye = $peer->byes($call)->[0];
		is($bye ? $bye->h('Reason') : 'nothing', $text, "RFC3326-2 BYE to the $peer->{name}, with the reason");
	}
	return $record;
}
my $expired = 'SIP;cause=408;text="Session timer expired"';

my $dead = $phone->talk($gw, user => 1);
$gw->dies($dead);
my $mute = $phone->talk($gw, user => 1);    # answers no refresh, but BYE
$gw->on($mute, sub { 0 });
my $grace = $phone->talk($gw, user => 2);
$gw->on($grace, sub { 0 });
my $saved = $phone->talk($gw, user => 2);
$gw->on($saved, sub { my $s = $_[0]{time} - $saved->{answered}; return $s > 2.3 ? 200 : 0 });
my $saved_by_him = $phone->talk($gw, user => 2);
$gw->on($saved_by_him, sub { 0 });
my $watched = $phone->talk($gw, user => 1, answer => { headers => [['Session-Expires', '2;refresher=uas'], ['Supported', 'timer']] });
my $kept = $phone->talk($gw, user => 1, answer => { headers => [['Session-Expires', '2;refresher=uas'], ['Supported', 'timer']] });
my %none = map { $_ => $phone->talk($gw, user => $_, caller => { update => 1 }, callee => { timer => 0, update => 1 }) } 3, 4, 5;
my $lost = $phone->talk($gw, user => 3, callee => { timer => 0 });
$gw->on($lost, sub { 0 });
my $lost_481 = $phone->talk($gw, user => 3, callee => { timer => 0 });
$gw->on($lost_481, sub { 481 });
my $busy = $phone->talk($gw, user => 3, callee => { timer => 0 });
$gw->on($busy, sub { 486 });

# The callee of $kept refreshes: once by UPDATE, once by a re-INVITE, every second.
my $next = 1;
sub keep {
	my $call = $kept;
	return if Time::HiRes::time() < $call->{answered} + $next || $next > 4;
	my @timer = (headers => [['Supported', 'timer'], ['Session-Expires', '2;refresher=uac']]);
	if ($next++ % 2) {
		$call->{callee}->send('UPDATE', @timer);
	} else {
		$call->{callee}->invite(@timer);
		$gw->want('200/INVITE', call_id => $call->{call_id}, timeout => 1) and $call->{callee}->ack;
	}
	return;
}
my $saving;
live(sub {
	keep();
	$saving ||= Time::HiRes::time() > $saved_by_him->{answered} + 2.5 && $saved_by_him->{callee}->send('UPDATE', headers => [['Supported', 'timer'], ['Session-Expires', '2;refresher=uac']]);
	return $next > 4 && @{ $gw->byes($grace) } && @{ $gw->byes($lost) };
}, 12, 'everything to happen');

for (['at once', $mute, 2], ['in the end of the grace', $grace, 4], ['one that the endpoint should have refreshed', $watched, 2]) {
	my ($when, $call, $s) = @$_;
	ended_as("RFC4028-10 expiry, BYE $when", $call, 'session_expired', $expired);
	ok(abs(after($_, $call) - $s) < 0.1, "$s s after the last confirmation, to the $_->{name}") or diag(after($_, $call)) for $phone, $gw;
}
is(scalar(@{ $gw->byes($mute) }), 1, 'one BYE where it is answered');
is(scalar(@{ $gw->refreshes($watched) }), 0, 'where the endpoint refreshes we do not');
ok(!@{ $gw->byes($saved) }, 'a confirmation in the grace saves the call');
cmp_ok(scalar(@{ $gw->refreshes($saved) }), '>=', 2, 'by an answer to a resent refresh');
ok($saving && !(grep { $_->{time} < $saved_by_him->{answered} + 3.9 } @{ $gw->byes($saved_by_him) }), 'or by a refresh of the endpoint\'s');
cmp_ok($v->stat_of('sessions_saved'), '>=', 2, 'counted');
ok(!@{ $gw->byes($kept) }, 'RFC4028-10 the endpoint\'s own refreshes keep a session alive');
is(scalar(@{ $phone->refreshes($kept) }), 4, 'and pass to the other end');
$phone->leave($kept);
is($v->wait_record_of($kept->{call_id})->{callee_timer}, 'endpoint', 'the record says who kept it');
$gw->on($saved, sub { 200 });
$phone->leave($saved);

# Without timer.
{
	my @m = @{ $gw->refreshes($none{3}) };
	cmp_ok(scalar(@m), '>=', 2, 'no_timer_action = reinvite: asked again and again');
	is(join(' ', map { $_->{method} } @m[0, 1]), 'INVITE INVITE', 'by re-INVITE');
	is($m[0]{body}, $phone->sdp, 'RFC3264-8 with the description as it was');
	my @at = map { $_->{time} - $none{3}{answered} } @m[0, 1];
	ok(abs($at[0] - 1) < 0.15 && abs($at[1] - 2) < 0.2, 'one interval after the last sign of life') or diag("@at");
	is(scalar(@{ $phone->refreshes($none{3}) }), 0, 'the other end, with the interval of its own gateway, notices nothing');
	ended_as('one who does not answer is dead', $lost, 'no_timer_dead', 'SIP;cause=408;text="Endpoint does not answer"');
	ended_as('RFC5057-5.1 so is one who has lost the call', $lost_481, 'endpoint_gone', 'SIP;cause=481;text="Endpoint has lost the call"');
	cmp_ok(scalar(@{ $gw->refreshes($busy) }), '>=', 2, 'who refuses the question lives');
	ended_as('no_timer_action = hangup', $none{4}, 'no_timer_limit', 'SIP;cause=408;text="Limit without session timer reached"');
	ok(abs(after($gw, $none{4}) - 1) < 0.1, 'at the limit') or diag(after($gw, $none{4}));
	is(scalar(@{ $gw->refreshes($none{4}) }), 0, 'without a question');
	ok(!@{ $gw->byes($none{5}) } && !@{ $gw->refreshes($none{5}) }, 'no_timer_interval = 0: neither');
	$phone->leave($_) for $none{3}, $none{5}, $busy;
	$phone->leave($saved_by_him) unless @{ $phone->byes($saved_by_him) };
}
# A leg that never answers anything.
{
	my $record = ended_as('a dead endpoint', $dead, 'session_expired', $expired);
	live(sub { 0 }, 0.1);
	my @byes = @{ $gw->byes($dead) };
	cmp_ok(scalar(@byes), '>=', 10, 'RFC3261-17.1.2.2 its BYE is resent');
	cmp_ok($byes[-1]{time} - $byes[0]{time}, '<', 64 * 0.05 + 0.1, 'until 64*T1');
	cmp_ok($byes[-1]{time} - $byes[0]{time}, '>', 64 * 0.05 - 0.5, 'and no less');
	is(scalar(@{ $phone->byes($dead) }), 1, 'the other leg\'s is independent of it');
}
is($v->stat_of('no_timer_dead'), 1, 'counted: dead');
is($v->stat_of('no_timer_limits'), 1, 'and at the limit');
$v->done_ok;
done_testing;
