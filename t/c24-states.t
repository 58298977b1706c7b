# SPDX-License-Identifier: GPL-2.0-or-later
# Requests that come in an odd state: before an ACK, after a BYE, in early dialogs, without a Contact, to a dialog that is none.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $slow = Velador::Peer->new(name => 'slow');
my $v = Velador->start(plan_of(carrier => { address => $carrier->addr, prefix => 1 }, slow => { address => $slow->addr, prefix => 2, give_up => '1s' }));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $elsewhere = Velador::Peer->new(name => 'elsewhere', to => $v->addr);

sub ringing {
	my ($peer, %o) = @_;
	my $d = $phone->dialog(user => $peer == $slow ? '200' : '100', %o);
	$d->invite(%{ $o{invite} // {} });
	my $invite = $peer->want('INVITE', call_id => $d->{call_id}) or BAIL_OUT('no call comes through');
	$peer->reply($invite, 180, contact => 1);
	my $ring = $phone->want(180, call_id => $d->{call_id});
	return ($d, $peer->dialog_of($invite), $invite, $ring);
}
# What is left of one case is no matter of the next.
sub fresh { $_->drain for $phone, $carrier, $slow, $elsewhere; return }
sub final { my $method = shift; return sub { ($_[0]{status} // 0) >= 200 && $_[0]->cseq_method eq $method } }
sub record_ok {
	my ($d, %expect) = @_;
	my $r = $v->wait_record_of($d->{call_id}, 8);
	is_deeply({ map { $_ => $r->{$_} } keys %expect }, \%expect, 'one record, with the reason') or diag(explain($r));
	return;
}

{
	fresh();
	my ($d, $b, $invite, $ring) = ringing($carrier);
	$carrier->reply($invite, 200, sdp => 1);
	my $ok = $phone->want('200/INVITE');
	$d->learn($ok)->bye;    # without an ACK
	my $ack = $carrier->want('ACK');
	ok($ack, 'RFC3261-15 a caller\'s BYE before his ACK: the callee is ACKed');
	my $bye = $carrier->want('BYE');
	ok($bye, 'and gets the BYE');
	cmp_ok($bye->cseq, '>', $ack->cseq, 'RFC3261-12.2.1.1 with a higher number') if $bye;
	$carrier->reply($bye, 200) if $bye;
	ok($phone->want('200/BYE'), 'it is answered');
	$d->ack;
	ok($carrier->never('ACK', 0.1), 'a late ACK goes no further');
	record_ok($d, reason => 'normal', ended_by => 'caller', sip_status => 200);
}
{
	fresh();
	my ($d, $b, $invite) = ringing($carrier);
	$carrier->reply($invite, 200, sdp => 1);
	my $ok = $phone->want('200/INVITE');
	$b->bye;
	ok($carrier->want('200/BYE'), 'RFC3261-15 both hang up before the ACK: the callee');
	$d->learn($ok)->bye;
	ok($phone->want('200/BYE'), 'and the caller');
	$d->ack;
	ok($phone->never('BYE', 0.1), 'who gets no BYE any more');
	record_ok($d, reason => 'normal', ended_by => 'callee');
}
{
	fresh();
	my ($d, $b, $invite, $ring) = ringing($carrier);
	my $early = bless({ %$d, last => {} }, ref $d)->learn($ring);
	$b->send('UPDATE', contact => '<sip:moved@' . $elsewhere->addr . '>');
	my $update = $phone->want('UPDATE');
	ok($update, 'RFC3311-5.1 UPDATE in an early dialog, from the callee with a new Contact');
	$phone->reply($update, 200) if $update;
	ok($carrier->want('200/UPDATE'), 'is answered');
	$early->send('INFO', body => 'x', type => 'text/plain');
	my $info = $elsewhere->want('INFO');
	ok($info, 'RFC3311-5.2 the target of the early dialog is the new one');
	$elsewhere->reply($info, 200) if $info;
	$phone->want('200/INFO');
	$early->send('UPDATE', contact => '<sip:phone2@' . $elsewhere->addr . '>');
	my $other = $elsewhere->want('UPDATE');
	ok($other, 'an UPDATE of the caller goes there as well');
	$elsewhere->reply($other, 200) if $other;
	$phone->want('200/UPDATE');
	$b->send('INFO', body => 'x', type => 'text/plain');
	my $back = $elsewhere->want('INFO');
	is($back ? $back->{uri} : '', 'sip:phone2@' . $elsewhere->addr, 'and moves the caller\'s target');
	$elsewhere->reply($back, 200) if $back;
	$carrier->want('200/INFO');
	$carrier->reply($invite, 486);
	my $busy = $phone->want(486);
	$d->ack_failure($busy) if $busy;
	$carrier->want('ACK');
	record_ok($d, reason => 'busy', ended_by => 'callee', sip_status => 486);
}
{
	fresh();
	my ($a, $b) = $phone->call($slow, user => '200');
	$a->invite;
	my $re = $slow->want('INVITE');
	my $late = $phone->want(408, timeout => 4);
	ok($late, 'RFC3261-17.1.1.2 a re-INVITE that nobody answers: 408');
	$a->ack_failure($late) if $late;
	$slow->drain;
	$a->send('INFO', body => 'x', type => 'text/plain');
	my $info = $slow->want('INFO');
	ok($info, 'RFC3261-14.1 the call goes on');
	$slow->reply($info, 200) if $info;
	ok($phone->want('200/INFO'), 'as it was');
	$a->send('INFO', body => 'x', type => 'text/plain');
	ok($phone->never(final('INFO'), 2), 'RFC4320-4.1 a request that nobody answers gets no 408');
	$slow->drain;
	ok($phone->hang_up($a, $b), 'and the call goes on');
}
{
	fresh();
	my ($a, $b) = $phone->call($carrier);
	$a->invite;
	my $re = $carrier->want('INVITE');
	$carrier->reply($re, 100);
	$phone->want(100);
	$a->cancel(headers => [['Reason', 'SIP;cause=200;text="elsewhere"']]);
	ok($phone->want('200/CANCEL'), 'RFC3261-9.2 CANCEL of a re-INVITE');
	my $cancel = $carrier->want('CANCEL');
	ok($cancel, 'goes on');
	is($cancel->h('Reason'), 'SIP;cause=200;text="elsewhere"', 'RFC3326-2 with its Reason') if $cancel;
	is($cancel->cseq, $re->cseq, 'and the number of its INVITE') if $cancel;
	$carrier->reply($cancel, 200) if $cancel;
	$carrier->reply($re, 487);
	my $end = $phone->want(487);
	ok($end, 'the re-INVITE ends with 487');
	$a->ack_failure($end) if $end;
	ok($carrier->want('ACK'), 'which is ACKed');
	ok($phone->hang_up($a, $b), 'and the call goes on');
}
{
	fresh();
	# A late offer in a re-INVITE: the answer is in the ACK.
	my ($a, $b) = $phone->call($carrier);
	$a->invite(body => '');
	my $re = $carrier->want('INVITE');
	is($re->{body}, '', 'RFC3261-14.1 a re-INVITE without an offer');
	$carrier->reply($re, 200, sdp => 1);
	$phone->want('200/INVITE');
	$carrier->reply($re, 200, sdp => 1);
	$a->ack(sdp => 1);
	my $ack = $carrier->want('ACK');
	is($ack->{body}, $phone->sdp, 'RFC3261-13.2.2.4 the ACK brings the answer') if $ack;
	$carrier->reply($re, 200, sdp => 1);
	my $again = $carrier->want('ACK');
	is($again ? $again->{raw} : '', $ack ? $ack->{raw} : 'none', 'again the same bytes to a repeat');
	ok($phone->hang_up($a, $b), 'the call works');
}
{
	fresh();
	my ($a, $b) = $phone->call($carrier);
	$a->bye(headers => [['Reason', 'Q.850;cause=31']]);
	my $bye = $carrier->want('BYE');
	is($bye->h('Reason'), 'Q.850;cause=31', 'RFC3326-2 a Reason passes');
	$carrier->reply($bye, 401, headers => [['WWW-Authenticate', 'Digest realm="x", nonce="y"']]);
	ok($phone->want('401/BYE'), 'RFC3261-22.2 a BYE that is challenged');
	$a->send('INFO', body => 'x', type => 'text/plain');
	my $info = $carrier->want('INFO');
	ok($info, 'ends nothing');
	$carrier->reply($info, 200) if $info;
	$phone->want('200/INFO');
	ok($phone->hang_up($a, $b), 'until it is sent again');
	record_ok($a, reason => 'normal', ended_by => 'caller');
}
{
	fresh();
	# Two calls with one Call-ID and From tag: an INVITE that was challenged, and its next try; endpoints that do not use our Contact.
	my $d = $phone->dialog(user => '100');
	$d->invite;
	my $invite = $carrier->want('INVITE');
	$carrier->reply($invite, 401, tag => 'challenge', headers => [['WWW-Authenticate', 'Digest realm="x", nonce="y"']]);
	my $no = $phone->want(401);
	$d->ack_failure($no);
	$carrier->want('ACK');
	$d->invite;
	my $again = $carrier->want('INVITE', call_id => $d->{call_id});
	ok($again, 'RFC3261-22.2 the next try with the same Call-ID and tag');
	my $b = $carrier->dialog_of($again, tag => 'right');
	$carrier->reply($again, 200, sdp => 1, tag => 'right');
	$d->learn($phone->want('200/INVITE'));
	$d->{target} = 'sip:100@' . $v->addr;
	$b->{target} = 'sip:' . $v->addr;
	$d->ack;
	ok($carrier->want('ACK'), 'RFC3261-12.2.2 an ACK without our Contact finds its dialog by Call-ID and tags');
	$b->send('INFO', body => 'x', type => 'text/plain');
	my $info = $phone->want('INFO');
	ok($info, 'so does a request of the callee');
	$phone->reply($info, 200) if $info;
	ok($carrier->want('200/INFO'), 'and its answer');
	ok($phone->hang_up($d, $b), 'and the BYE');
	is(scalar(grep { $_->{call_id} eq $d->{call_id} } @{ $v->wait_records(9) }), 2, 'each INVITE leaves a record');
}
{
	fresh();
	my ($a, $b) = $phone->call($carrier);
	my $target = $a->{target};
	ok($phone->hang_up($a, $b), 'a call is over');
	$phone->dialog->send('INVITE', remote => '<sip:100@x>;tag=unknown');
	ok($phone->want('481/INVITE'), 'RFC3261-12.2.2 an INVITE with a tag that nobody knows: 481');
	(my $no_slot = $target) =~ s/^(sip:v.{8})(.)/$1 . ($2 eq '0' ? '1' : '0')/e;
	$phone->dialog(target => $no_slot)->bye;
	ok($phone->want('481/BYE'), 'a handle that is not ours: 481');
	cmp_ok($v->stat_of('forged'), '>=', 1, 'counted');
	my $stranger = Velador::Peer->new(name => 'stranger', host => '127.0.0.9', to => $v->addr);
	$stranger->dialog(target => $target)->bye;
	ok($stranger->want('403/BYE'), 'a stranger with a handle of ours: 403');
	$a->{target} = $target;
	$a->{cseq} = 30;
	$a->bye;
	ok($phone->want('200/BYE'), 'a BYE after the BYE, while the call is remembered: 200');
	$a->send('INFO', body => 'x', type => 'text/plain');
	ok($phone->want('481/INFO'), 'anything else: 481');
}
{
	fresh();
	# No Contact anywhere: the source is the target.
	my $d = $phone->dialog;
	my $text = $phone->request('INVITE', $d->{target}, from => $d->{local}, to => $d->{remote}, call_id => $d->{call_id}, headers => [['Contact', undef]], body => $phone->sdp);
	$phone->send($text);
	my $invite = $carrier->want('INVITE', call_id => $d->{call_id});
	ok($invite, 'RFC3261-8.1.1.8 an INVITE without Contact goes through');
	my $b = $carrier->dialog_of($invite);
	$b->{target} = 'sip:' . $v->addr unless $b->{target};
	$carrier->reply($invite, 200, sdp => 1, contact => '');
	my $ok = $phone->want('200/INVITE');
	$d->{last}{INVITE} = { cseq => 1 };
	$d->{cseq} = 1;
	$d->learn($ok)->ack;
	ok($carrier->want('ACK'), 'its ACK too');
	$b->bye;
	my $bye = $phone->want('BYE');
	ok($bye, 'and the callee\'s BYE comes to where the INVITE came from');
	$phone->reply($bye, 200) if $bye;
	ok($carrier->want('200/BYE'), 'and is answered');
}
$v->done_ok;
done_testing;
