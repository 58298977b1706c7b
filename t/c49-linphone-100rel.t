# SPDX-License-Identifier: GPL-2.0-or-later
# Linphone, an agent that nobody here wrote, as a caller and as a callee who rings reliably: behind each mode of ours, against a far side that can and one that cannot.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of wait_for);
use Velador::Linphone;
use Velador::Peer;

plan(skip_all => Velador::Linphone::lacks()) if Velador::Linphone::lacks();
# 100rel_support_level: 0 none, 1 known, 2 rings reliably wherever it can.
my ($alice, $old, $bob, $early, $plain) = map { my ($name, $level, %more) = @$_; Velador::Linphone->start(name => $name, rings => 1, sip => { '100rel_support_level' => $level, session_expires_enabled => 0, %more }) }
	['alice', 1], ['old', 0], ['bob', 2], ['early', 2, incoming_calls_early_media => 1], ['plain', 0];
my $peer = Velador::Peer->new(name => 'peer');
my $v = Velador->start(
	plan_of(
		bob => { address => $bob->addr, prefix => 'bob' }, early => { address => $early->addr, prefix => 'early' }, plain => { address => $plain->addr, prefix => 'plain' },
		off => { address => $bob->addr, prefix => 'off', '100rel' => 'off' }, must => { address => $bob->addr, prefix => 'must', '100rel' => 'required' },
		never => { address => $plain->addr, prefix => 'never', '100rel' => 'required' }, peer => { address => $peer->addr, prefix => 'peer' }),
	reliable => { '100rel' => 'supported' }, retransmit => { t1 => '200ms' });
my $at = $v->addr;
my %seen;

# What came to an agent, or what it sent, since the last look.
sub news { my ($who, $what) = @_; my @all = $who->$what; my $from = $seen{"$who->{name} $what"} // 0; $seen{"$who->{name} $what"} = @all; return @all[$from .. $#all] }
sub provisional { return grep { ($_->{status} // 0) > 100 && $_->{status} < 200 } @_ }
sub of { my ($method, @m) = @_; return grep { ($_->{method} // '') eq $method } @m }
sub rel { my $m = shift; return $m ? $m->{status} . ($m->h('Require') =~ /100rel/ && $m->h('RSeq') ? ' reliable' : ' plain') : 'nothing' }
sub state_of { return join ' ', map { $_->{'100rel'} } @{ ($v->ctl('call', $_[0]{id}) // {})->{legs} } }

# A call from one to a number; the callee answers when the caller rings. What either side is to see of it.
sub talk {
	my ($from, $to, $number, %want) = @_;
	my $title = "$from->{name} to $number";
	$from->call("sip:$number\@$at");
	$to->wait_state($want{early} ? 'IncomingEarlyMedia' : 'IncomingReceived') or return fail("$title: no ringing at the callee");
	ok($from->wait_state($want{early} ? 'OutgoingEarlyMedia' : 'OutgoingRinging'), "$title: it rings" . ($want{early} ? ', with early media' : ''));
	my ($call) = @{ $v->ctl('calls') };
	is(state_of($call), $want{legs}, 'each leg does what it can');
	$to->command('answer');
	ok($from->wait_state('StreamsRunning') && $to->wait_state('StreamsRunning'), 'the call comes about');
	$from->hang_up;
	my $record = $v->wait_record_of($call->{call_id});
	is("@$record{qw(ended_by reason caller_100rel callee_100rel)}", "caller normal $want{legs}", 'and ends; the record says the same');
	$to->wait_state('') or diag "$to->{name} has still a call";
	my (@came, @went) = news($from, 'received');
	my @sent = news($to, 'sent');
	is(join(', ', map { rel($_) } (provisional(@came))[0]), $want{caller}, 'RFC3262-3 what the caller got');
	is(join(', ', map { rel($_) } (provisional(@sent))[0]), $want{callee}, 'RFC3262-4 what the callee sent');
	my ($ours, $his) = (scalar(of('PRACK', news($to, 'received'))), scalar(of('PRACK', news($from, 'sent'))));
	is("$his $ours", join(' ', map { /reliable/ ? 1 : 0 } @want{qw(caller callee)}), 'RFC3262-4 one PRACK for each that was reliable');
	is((grep { ($_->{status} // 0) >= 300 && $_->cseq_method eq 'PRACK' } @came, @sent), 0, 'answered 200');
	return $call;
}

talk($alice, $bob, 'bob', legs => 'used used', caller => '180 reliable', callee => '180 reliable');
is(scalar(grep { rel($_) eq '180 reliable' && $_->h('Contact') eq '' } provisional($bob->sent)) > 0 ? 1 : 0, 1, 'though its reliable 180 had no Contact');
talk($old, $bob, 'bob', legs => 'none used', caller => '180 plain', callee => '180 reliable');
talk($alice, $plain, 'plain', legs => 'used offered', caller => '180 reliable', callee => '180 plain');
talk($old, $plain, 'plain', legs => 'none offered', caller => '180 plain', callee => '180 plain');
talk($alice, $bob, 'off', legs => 'used used', caller => '180 reliable', callee => '180 reliable');    # it was not asked, and is reliable all the same
talk($alice, $plain, 'never', legs => 'used offered', caller => '180 reliable', callee => '180 plain');    # it ought to answer Require with 420, and rings
talk($alice, $bob, 'must', legs => 'used used', caller => '180 reliable', callee => '180 reliable');
talk($alice, $early, 'early', early => 1, legs => 'used used', caller => '183 reliable', callee => '183 reliable');
talk($old, $early, 'early', early => 1, legs => 'none used', caller => '183 plain', callee => '183 reliable');

# The caller gives up, while it rings.
{
	news($_, 'received') for $alice, $bob;
	$alice->call("sip:bob\@$at");
	$bob->wait_state('IncomingReceived');
	$alice->wait_state('OutgoingRinging');
	my ($call) = @{ $v->ctl('calls') };
	$alice->hang_up;
	ok($bob->wait_state(''), 'CANCEL after a reliable 180');
	is($v->wait_record_of($call->{call_id})->{reason}, 'canceled', 'its record');
}
# A gateway of ours whose second provisional response comes right after the first: Linphone gets them one at a time, with its PRACK in between.
{
	news($alice, $_) for qw(received sent);
	$alice->call("sip:peer\@$at");
	my $invite = $peer->want('INVITE') or BAIL_OUT('no INVITE');
	$peer->reply($invite, 180, contact => '');
	$peer->reply($invite, 183, sdp => 1);
	ok($alice->wait_state('OutgoingEarlyMedia'), 'a 180 and at once a 183 of a gateway without 100rel: it gets to early media');
	$peer->reply($invite, 200);
	ok($alice->wait_state('StreamsRunning'), 'and by a 200 without description into the call');
	$alice->hang_up;
	my $bye = $peer->want('BYE');
	$peer->reply($bye, 200) if $bye;
	my %rseq = map { $_->h('RSeq') => $_->{status} } provisional(news($alice, 'received'));
	is(join(' ', map { $rseq{$_} } sort { $a <=> $b } keys %rseq), '180 183', 'RFC3262-3 both reliable, in order');
	my %acked = map { $_->h('RAck') => 1 } of('PRACK', news($alice, 'sent'));
	is(scalar(keys %acked), 2, 'RFC3262-4 both acknowledged');
}
$v->done_ok;
done_testing;
