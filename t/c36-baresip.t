# SPDX-License-Identifier: GPL-2.0-or-later
# baresip, which knows no session timer and no UPDATE, as caller and as callee: the safety net keeps its calls, and ends them when it is gone.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of wait_for);
use Velador::Baresip;
use Velador::Endpoint;

plan(skip_all => Velador::Baresip::lacks()) if Velador::Baresip::lacks();
my ($alice, $bob, $carol) = map { Velador::Baresip->start(name => $_) } qw(alice bob carol);
my $v = Velador->start(
	plan_of(bob => { address => $bob->addr, prefix => 'bob' }, carol => { address => $carol->addr, prefix => 'carol' }),
	session    => { ttl => '600s', no_timer_interval => '1s' },
	retransmit => { t1 => '50ms', t2 => '400ms' });
my $at = $v->addr;

sub invites { my $who = shift; return grep { $_->is_request && $_->{method} eq 'INVITE' } $who->received }
sub offers_of { my $who = shift; return grep { $_->is_request && $_->{method} eq 'INVITE' && $_->{body} } $who->sent }

# Between two of them, for several checks of the safety net.
{
	$alice->dial("sip:bob\@$at");
	$_->wait_event('CALL_ESTABLISHED') or die "no call\n" for $alice, $bob;
	ok(wait_for(sub { return invites($alice) >= 3 && invites($bob) >= 4 }, 10, 'three questions to each'), 'both are asked by re-INVITE, one interval after the other');
	my ($offer) = offers_of($alice);
	my ($answer) = grep { ($_->{status} // 0) == 200 && $_->cseq_method eq 'INVITE' } $bob->sent;
	is((grep { $_->{body} ne $offer->{body} } invites($bob)), 0, 'RFC3264-8 each to the callee bears the caller\'s description as it was, o= line and all');
	is((grep { $_->{body} ne $answer->{body} } invites($alice)), 0, 'RFC3264-8 each to the caller the callee\'s');
	my @answers = grep { ($_->{status} // 0) >= 200 && $_->cseq_method eq 'INVITE' } $alice->sent, $bob->sent;
	is((grep { $_->{status} != 200 } @answers), 0, 'each is answered 200');
	isnt($answers[0]{body}, $answers[-1]{body}, 'with another version in its o= line each time');
	is(scalar(invites($alice)), scalar(grep { ($_->{method} // '') eq 'INVITE' && $_->h('Session-Expires') } invites($alice)), 'RFC4028-7.1 each asks for a timer again');
	is($alice->had_event('CALL_CLOSED') + $bob->had_event('CALL_CLOSED'), 0, 'nobody hangs up');
	my ($call) = @{ $v->ctl('calls') };
	is(join(' ', map { "$_->{timer} $_->{method} $_->{next_action}" } @{ $v->ctl('call', $call->{id})->{legs} }), 'none INVITE check none INVITE check', 'veladorctl shows what watches it');
	$alice->hang_up;
	ok($bob->wait_event('CALL_CLOSED'), 'clean end');
	my $record = $v->wait_record_of($call->{call_id});
	is("@$record{qw(ended_by reason caller_timer callee_timer)}", 'caller normal none none', 'the record');
	cmp_ok($record->{refreshes}, '>=', 6, 'counts the questions');
}
# A caller with a timer: his own refreshes by UPDATE are answered here, ours go to him by UPDATE.
{
	my $phone = Velador::Endpoint->new(name => 'phone', to => $at);
	my $d = $phone->dialog(user => 'bob');
	$d->invite(headers => [$phone->allow({}), ['Supported', 'timer'], ['Session-Expires', '600;refresher=uac']]);
	my $ok = $phone->want('200/INVITE') or die "no answer\n";
	$d->learn($ok)->ack;
	is($ok->h('Session-Expires'), '600;refresher=uac', 'RFC4028-9 a caller with a timer and a callee without');
	for (1, 2) {
		$d->send('UPDATE', headers => [['Supported', 'timer'], ['Session-Expires', '600;refresher=uac']]);
		my $answer = $phone->want('200/UPDATE');
		is($answer ? $answer->h('Session-Expires') : '', '600;refresher=uac', 'his refresh is answered');
	}
	is((grep { ($_->{method} // '') eq 'UPDATE' } $bob->received), 0, 'RFC3311-5.1 baresip hears no UPDATE');
	$bob->hang_up;
	ok(Velador::Endpoint::live(sub { @{ $phone->byes($d->{call_id}) } }, 5, 'BYE'), 'the callee hangs up');
	my $record = $v->wait_record_of($d->{call_id});
	is("@$record{qw(ended_by reason caller_timer callee_timer)}", 'callee normal endpoint none', 'the record');
}
# One that is killed, and one that lives on.
{
	$alice->dial("sip:carol\@$at");
	$_->wait_event('CALL_ESTABLISHED') or die "no call\n" for $alice, $carol;
	my ($call) = @{ $v->ctl('calls') };
	kill 'KILL', $carol->pid;
	Velador::reap($carol->pid, 5);
	my $closed = $alice->wait_event('CALL_CLOSED', 10);
	ok($closed, 'the callee is killed: the caller is told');
	my ($bye) = grep { ($_->{method} // '') eq 'BYE' } $alice->received;
	is($bye ? $bye->h('Reason') : '', 'SIP;cause=408;text="Endpoint does not answer"', 'RFC3326-2 and why');
	my $record = $v->wait_record_of($call->{call_id}, 10);
	is("@$record{qw(ended_by reason)}", 'server no_timer_dead', 'the record');
}
$v->done_ok;
done_testing;
