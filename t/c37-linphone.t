# SPDX-License-Identifier: GPL-2.0-or-later
# Linphone, with session timers and UPDATE, as caller and as callee: we refresh, it refreshes, it insists on a longer interval, it has no timer, it dies.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of wait_for);
use Velador::Baresip;
use Velador::Linphone;

plan(skip_all => Velador::Linphone::lacks()) if Velador::Linphone::lacks();
my %short = (session_expires_value => 2, session_expires_min_value => 1);
my ($alice, $bob, $carol, $dave, $erin) = map { my ($name, %sip) = @$_; Velador::Linphone->start(name => $name, sip => \%sip) } ['alice', %short], ['bob', %short],
	['carol', session_expires_value => 4, session_expires_min_value => 4], ['dave', %short, session_expires_refresher_value => 1], ['erin', session_expires_enabled => 0];
my $baresip = Velador::Baresip::lacks() ? undef : Velador::Baresip->start(name => 'frank');
my $v = Velador->start(
	plan_of(bob => { address => $bob->addr, prefix => 'bob' }, carol => { address => $carol->addr, prefix => 'carol' }, erin => { address => $erin->addr, prefix => 'erin' },
		dave => { address => $dave->addr, prefix => 'dave', refresher => 'endpoint' }, $baresip ? (frank => { address => $baresip->addr, prefix => 'frank' }) : ()),
	session    => { ttl => '2s', no_timer_interval => '1s' },
	retransmit => { t1 => '100ms', t2 => '400ms' });
my $at = $v->addr;

sub updates { my $who = shift; return grep { $_->is_request && $_->{method} eq 'UPDATE' } $who->received }
sub answers_to { my ($method, $who) = @_; return grep { ($_->{status} // 0) >= 200 && $_->cseq_method eq $method } $who->sent }
sub legs { return map { my $l = $_; join ' ', map { $_ // '-' } @$l{qw(timer interval_s refresher method next_action)} } @{ $v->ctl('call', $_[0]{id})->{legs} } }
sub call_of {
	my ($from, $to) = @_;
	$from->call("sip:$to->{name}\@$at");
	$from->wait_state('StreamsRunning') or die "no call from $from->{name} to $to->{name}\n";
	my $call;
	wait_for(sub { ($call) = grep { $_->{state} eq 'established' } @{ $v->ctl('calls') } }, 5, 'the call');
	return $call;
}
sub clean_end {
	my ($from, $call, $timers) = @_;
	$from->hang_up;
	my $record = $v->wait_record_of($call->{call_id});
	is("@$record{qw(ended_by reason caller_timer callee_timer)}", "caller normal $timers", 'clean end');
	return $record;
}

{
	my $call = call_of($alice, $bob);
	is_deeply([legs($call)], [('session 2 self UPDATE refresh') x 2], 'RFC4028-9 two Linphones: we refresh both legs');
	ok(wait_for(sub { return updates($alice) >= 3 && updates($bob) >= 3 }, 10, 'three refreshes of each'), 'by UPDATE, several times');
	is((grep { $_->{body} ne '' || $_->h('Session-Expires') ne '2;refresher=uac' } updates($alice), updates($bob)), 0, 'RFC4028-7.4 without a body, with the role we have');
	is((grep { $_->{status} != 200 } map { answers_to('UPDATE', $_) } $alice, $bob), 0, 'each is answered 200');
	ok($alice->wait_state('StreamsRunning') && $bob->wait_state('StreamsRunning'), 'and the call goes on');
	cmp_ok(clean_end($alice, $call, 'self self')->{refreshes}, '>=', 6, 'the record counts them');
}
{
	my $call = call_of($alice, $dave);
	is((legs($call))[1], 'session 2 endpoint UPDATE expire', 'RFC4028-7.2 one that wants to refresh does, where we let it');
	ok(wait_for(sub { return 3 <= grep { $_->is_request && $_->{method} eq 'UPDATE' } $dave->sent }, 10, 'three refreshes of its own'), 'for several intervals');
	my @to = grep { ($_->{status} // 0) >= 200 && $_->cseq_method eq 'UPDATE' } $dave->received;
	is((grep { $_->{status} != 200 || $_->h('Session-Expires') ne '2;refresher=uac' } @to), 0, 'RFC4028-9 each is answered with its role') or diag(map { "$_->{status} " . $_->h('Session-Expires') . "\n" } @to);
	ok($alice->wait_state('StreamsRunning') && $dave->wait_state('StreamsRunning'), 'the call goes on');
	clean_end($alice, $call, 'self endpoint');
}
{
	my $call = call_of($alice, $carol);
	is((answers_to('INVITE', $carol))[0]{status}, 422, 'RFC4028-8.1 one that insists on a longer interval answers 422');
	is((legs($call))[1], 'session 4 self UPDATE refresh', 'RFC4028-7.3 which is honoured');
	is((grep { ($_->{status} // 0) == 422 } $alice->received), 0, 'the caller does not hear of it');
	ok(wait_for(sub { return updates($carol) >= 1 }, 6, 'a refresh'), 'and refreshed');
	is(join(' ', map { $_->h('Session-Expires') . ' ' . $_->h('Min-SE') } (updates($carol))[0]), '4;refresher=uac 4', 'by the interval agreed');
	clean_end($alice, $call, 'self self');
}
{
	my $call = call_of($alice, $erin);
	is((legs($call))[1], 'none - - INVITE check', 'one whose timers are off');
	my $invites = sub { return grep { $_->is_request && $_->{method} eq 'INVITE' } $erin->received };
	ok(wait_for(sub { return $invites->() >= 3 }, 8, 'two questions'), 'is asked by re-INVITE');
	my ($first, @more) = $invites->();
	is((grep { $_->{body} ne $first->{body} } @more), 0, 'RFC3264-8 with the description as it was');
	is((grep { $_->{status} != 200 } answers_to('INVITE', $erin)), 0, 'each is answered 200');
	clean_end($alice, $call, 'self none');
}
SKIP: {
	skip('baresip is not installed (Debian: baresip-core)', 3) unless $baresip;
	my $call = call_of($dave, $baresip);
	ok(wait_for(sub { return updates($dave) >= 2 && 3 <= grep { $_->is_request && $_->{method} eq 'INVITE' } $baresip->received }, 8, 'refreshes'), 'Linphone to baresip: UPDATE to the one, re-INVITE to the other');
	is((grep { $_->{status} != 200 } answers_to('UPDATE', $dave), grep({ $_->{status} } (answers_to('INVITE', $baresip))[1])), 0, 'answered 200');
	clean_end($dave, $call, 'self none');
}
{
	my $call = call_of($alice, $bob);
	kill 'KILL', $bob->pid;
	Velador::reap($bob->pid, 5);
	ok($alice->wait_state('', 10), 'the callee is killed: the caller is told');
	my ($bye) = grep { ($_->{method} // '') eq 'BYE' } $alice->received;
	is($bye ? $bye->h('Reason') : '', 'SIP;cause=408;text="Session timer expired"', 'RFC3326-2 and why');
	my $record = $v->wait_record_of($call->{call_id}, 15);
	is("@$record{qw(ended_by reason)}", 'server session_expired', 'the record');
}
$v->done_ok;
done_testing;
