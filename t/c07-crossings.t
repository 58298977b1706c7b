# SPDX-License-Identifier: GPL-2.0-or-later
# Messages that cross on the wire (RFC 5407): both legs end, with one record; and who may cancel when.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

# A call that rings: (caller's end, callee's end, the INVITE at the callee).
sub ringing {
	my %o = @_;
	my $d = $phone->dialog;
	$d->invite;
	my $invite = $carrier->want('INVITE', call_id => $d->{call_id}) or BAIL_OUT('no call comes through');
	my $b = $carrier->dialog_of($invite);
	if ($o{provisional} // 1) {
		$carrier->reply($invite, 180, contact => 1);
		$phone->want(180, call_id => $d->{call_id});
	}
	return ($d, $b, $invite);
}
sub refusal_ok {
	my ($d, $status, $title) = @_;
	my $final = $phone->want($status, call_id => $d->{call_id});
	$d->ack_failure($final) if $final;
	return ok($final, $title);
}
sub record_ok {
	my ($d, %expect) = @_;
	my $r = $v->wait_record_of($d->{call_id}, 8);
	is_deeply({ map { $_ => $r->{$_} } keys %expect }, \%expect, 'one record, with the reason') or diag(explain($r));
	return;
}

{
	my ($d, $b, $invite) = ringing();
	$d->cancel;
	ok($phone->want('200/CANCEL'), 'RFC3261-9.2 CANCEL is answered at once');
	my $cancel = $carrier->want('CANCEL');
	is($cancel->branch, $invite->branch, 'RFC3261-9.1 and goes out with the branch of the INVITE');
	$carrier->reply($invite, 200, sdp => 1);    # was on its way
	$carrier->reply($cancel, 481);
	ok($carrier->want('ACK'), 'RFC5407-3.1.2 CANCEL crosses the 200: the callee is ACKed');
	my $bye = $carrier->want('BYE');
	ok($bye, 'and hung up');
	$carrier->reply($bye, 200) if $bye;
	refusal_ok($d, 487, 'RFC3261-9.2 the caller gets 487');
	record_ok($d, reason => 'canceled', ended_by => 'caller', answered_at => undef);
}
{
	my ($d, $b, $invite) = ringing();
	$carrier->reply($invite, 200, sdp => 1);
	my $ok = $phone->want('200/INVITE');
	$d->cancel;    # he has not seen it
	ok($phone->want(sub { $_[0]->cseq_method eq 'CANCEL' && ($_[0]{status} // 0) =~ /^(?:200|481)$/ }), 'RFC3261-9.2 a CANCEL after the 200 has no effect');
	$d->learn($ok)->ack;
	ok($carrier->want('ACK'), 'the call stands');
	ok(!(grep { ($_->{method} // '') eq 'CANCEL' } $carrier->drain), 'the callee hears nothing of it');
	ok($phone->hang_up($d, $b), 'until somebody hangs up');
	record_ok($d, reason => 'normal', ended_by => 'caller');
}
{
	my ($d, $b, $invite) = ringing(provisional => 0);
	$d->cancel;
	ok($phone->want('200/CANCEL'), 'CANCEL before any provisional answer');
	ok($carrier->never('CANCEL', 0.3), 'RFC3261-9.1 waits at our side');
	$carrier->reply($invite, 100);
	my $cancel = $carrier->want('CANCEL');
	ok($cancel, 'until one comes');
	$carrier->reply($cancel, 200) if $cancel;
	$carrier->reply($invite, 487);
	ok($carrier->want('ACK'), 'RFC3261-17.1.1.3 the 487 is ACKed');
	refusal_ok($d, 487, 'and the caller gets one');
	record_ok($d, reason => 'canceled', ended_by => 'caller');
	$carrier->drain;
}
{
	my ($d, $b, $invite) = ringing(provisional => 0);
	$d->cancel;
	$phone->want('200/CANCEL');
	$carrier->reply($invite, 200, sdp => 1);
	ok($carrier->want('ACK'), 'CANCEL, then 200 without a provisional answer: ACK');
	my $bye = $carrier->want('BYE');
	ok($bye, 'and BYE');
	$carrier->reply($bye, 200) if $bye;
	refusal_ok($d, 487, 'and 487 to the caller');
	record_ok($d, reason => 'canceled');
}
{
	my ($a, $b) = $phone->call($carrier);
	$_->bye for $a, $b;
	my $bye = $carrier->want('BYE');    # the first of them went on before the second came
	$carrier->reply($bye, 200) if $bye;
	ok($phone->want('200/BYE') && $carrier->want('200/BYE'), 'RFC5407-3.1.4 BYE crosses BYE: both are answered');
	record_ok($a, reason => 'normal');
}
{
	my ($a, $b) = $phone->call($carrier);
	$b->invite;
	my $re = $phone->want('INVITE', call_id => $a->{call_id});
	ok($re, 'RFC3261-14 a re-INVITE from the callee comes through');
	$a->bye;
	my $bye = $carrier->want('BYE');
	ok($bye, 'RFC5407-3.2.2 and a BYE crosses it');
	$carrier->reply($bye, 200) if $bye;
	ok($phone->want('200/BYE'), 'it is answered');
	$phone->reply($re, 481);
	my $final = $carrier->want(sub { $_[0]->cseq_method eq 'INVITE' && ($_[0]{status} // 0) >= 300 });
	ok($final, 'RFC3261-15.1.2 the re-INVITE gets a final answer');
	$b->ack_failure($final) if $final;
	record_ok($a, reason => 'normal', ended_by => 'caller');
}
{
	my ($d, $b, $invite) = ringing();
	$carrier->reply($invite, 200, sdp => 1);
	$phone->want('200/INVITE');
	$b->bye;    # before the ACK went round
	my $answer = $carrier->want('200/BYE', timeout => 2);
	ok($answer, 'RFC3261-15 a callee\'s BYE before the ACK is answered');
	ok($phone->never('BYE', 0.2), 'RFC3261-15 the caller gets no BYE before his ACK');
	my $ok = $d->{peer}->want('200/INVITE', timeout => 2);
	ok($ok, 'his 200 is sent again') and $d->learn($ok)->ack;
	my $bye = $phone->want('BYE');
	ok($bye, 'then he gets his BYE');
	$phone->reply($bye, 200) if $bye;
	record_ok($d, reason => 'normal', ended_by => 'callee');
	$_->drain for $phone, $carrier;
}
{
	my ($d, $b, $invite) = ringing();
	my $ok180 = $invite;
	$d->learn(Velador::Message->parse("SIP/2.0 180 Ringing\r\nTo: " . $b->{local} . "\r\nContact: <" . $d->{target} . ">\r\n\r\n"));
	$d->{target} = 'sip:100@' . $v->addr;
	$d->bye;    # an early dialog may be left by BYE
	my $done = $phone->want(sub { $_[0]->cseq_method eq 'BYE' && ($_[0]{status} // 0) >= 200 });
	ok($done, 'RFC3261-15 BYE in an early dialog is answered');
	if ($done && $done->{status} == 200) {
		my $end = $carrier->want(sub { ($_[0]{method} // '') =~ /^(?:CANCEL|BYE)$/ });
		ok($end, 'and ends the callee\'s leg by ' . ($end ? $end->{method} : 'nothing'));
		$carrier->reply($end, 200) if $end;
	} else {
		$d->cancel;
		$phone->want('200/CANCEL');
		$carrier->reply($carrier->want('CANCEL'), 200);
	}
	$carrier->reply($invite, 487);
	$carrier->want('ACK');
	refusal_ok($d, 487, 'the INVITE ends with 487');
	record_ok($d, answered_at => undef, ended_by => 'caller');
	$_->drain for $phone, $carrier;
}
{
	my $d = $phone->dialog;
	my $sent = Time::HiRes::time();
	$d->{last}{INVITE} = { via => $phone->via, cseq => 1, uri => $d->{target} };
	$d->{cseq} = 1;
	$d->cancel;
	my $none = $phone->want('481/CANCEL');
	ok($none, 'RFC3261-9.2 CANCEL to nothing: 481');
	is($v->wait_stat('stray_cancels', 1), 1, 'counted');
}
{
	# The network brings the CANCEL first: it waits a moment for its INVITE.
	my $d = $phone->dialog;
	my $via = $phone->via;
	$d->{last}{INVITE} = { via => $via, cseq => 1, uri => $d->{target} };
	my $cancel = $phone->request('CANCEL', $d->{target}, via => $via, from => $d->{local}, to => $d->{remote}, call_id => $d->{call_id}, cseq => 1);
	my $invite = $phone->request('INVITE', $d->{target}, via => $via, from => $d->{local}, to => $d->{remote}, call_id => $d->{call_id}, cseq => 1, body => $phone->sdp);
	$phone->send($_) for $cancel, $invite;
	ok($phone->want('200/CANCEL'), 'a CANCEL that overtook its INVITE is answered 200');
	refusal_ok($d, 487, 'and the INVITE 487');
	my $late = $carrier->want('INVITE', call_id => $d->{call_id}, timeout => 0.5, quiet => 1);
	if ($late) {    # it may have gone out; then it must be cancelled
		$carrier->reply($late, 100);
		my $c = $carrier->want('CANCEL');
		ok($c, 'the callee\'s side is cancelled');
		$carrier->reply($c, 200) if $c;
		$carrier->reply($late, 487);
		$carrier->want('ACK');
	}
	record_ok($d, reason => 'canceled', ended_by => 'caller');
}
$v->done_ok;
done_testing;
