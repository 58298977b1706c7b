# SPDX-License-Identifier: GPL-2.0-or-later
# Messages that come late, twice, or cross others at the end of a set-up.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => { address => $carrier->addr, prefix => 1 }, rings => { address => $carrier->addr, prefix => 2, ring_timeout => '1s' }));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

sub begin {
	my $d = $phone->dialog(user => shift);
	$d->invite;
	return ($d, $carrier->want('INVITE', call_id => $d->{call_id}));
}

{
	# Timer C: each 101 to 199 sets it anew, a 100 does not.
	my ($d, $invite) = begin('200');
	for my $status (180, 183, 180) {
		$carrier->reply($invite, $status, contact => 1);
		ok($carrier->never('CANCEL', 0.7), "RFC3261-16.7 a $status starts Timer C again");
	}
	my $last = Time::HiRes::time() - 0.7;
	$carrier->reply($invite, 100);
	my $cancel = $carrier->want('CANCEL', timeout => 2);
	ok($cancel, 'RFC3261-16.8 then it fires');
	cmp_ok(abs($cancel->{time} - $last - 1), '<', 0.15, 'a 100 did not put it off') if $cancel;
	$carrier->reply($cancel, 200);
	$carrier->reply($invite, 487);
	$carrier->want('ACK');
	my $end = $phone->want(sub { ($_[0]{status} // 0) >= 300 });
	$d->ack_failure($end);
	is($v->wait_record_of($d->{call_id})->{reason}, 'no_answer', 'the record says why');
	$phone->drain;
}
{
	# RFC 6026: the INVITE's server transaction stays for its repeats, whatever became of the dialog.
	my ($d, $invite) = begin('100');
	$carrier->reply($invite, 200, sdp => 1);
	$d->learn($phone->want('200/INVITE'))->ack;
	my $ack = $carrier->want('ACK');
	my $b = $carrier->dialog_of($invite);
	$d->resend('INVITE') for 1 .. 3;
	ok($phone->never(sub { ($_[0]{status} // 0) >= 200 }, 0.2), 'RFC6026-7.1 an INVITE that comes again after its 200 and ACK is absorbed');
	ok($carrier->never('INVITE', 0.05), 'and makes no second call');
	$carrier->reply($invite, 180, contact => 1);
	ok($phone->never(180, 0.2), 'RFC6026-7.2 a 180 after the 200 goes no further');
	$carrier->reply($invite, 486);
	ok($phone->never(486, 0.2), 'nor does a refusal');
	$carrier->reply($invite, 200, sdp => 1);
	my $again = $carrier->want('ACK');
	is($again ? $again->{raw} : '', $ack->{raw}, 'RFC3261-13.2.2.4 a repeated 200 gets the very ACK again');
	ok($phone->never('200/INVITE', 0.1), 'and goes no further');
	ok($phone->hang_up($d, $b), 'the call works');
	$d->resend('INVITE');
	ok($phone->never(sub { ($_[0]{status} // 0) >= 200 && $_[0]->cseq_method eq 'INVITE' }, 0.2), 'RFC6026-7.1 an INVITE that comes again after the BYE is absorbed too');
	$v->wait_record_of($d->{call_id});
	is(scalar(grep { $_->{call_id} eq $d->{call_id} } @{ $v->records }), 1, 'one record');
}
{
	# The caller hangs up his early dialog while the 200 is on its way.
	my ($d, $invite) = begin('100');
	$carrier->reply($invite, 180, contact => 1);
	$d->learn($phone->want(180));
	$d->bye;
	$carrier->reply($invite, 200, sdp => 1);
	my $cancel = $carrier->want('CANCEL');
	ok($cancel, 'RFC3261-15.1.1 BYE in an early dialog: CANCEL to the callee') and $carrier->reply($cancel, 200);
	ok($phone->want('200/BYE'), 'RFC5407-3.1.3 BYE in an early dialog crosses the 200: it is answered');
	my $ack = $carrier->want('ACK');
	ok($ack, 'the callee is ACKed') and is($ack->cseq, $invite->cseq, 'with the number of the INVITE');
	my $bye = $carrier->want('BYE');
	ok($bye, 'and hung up') and cmp_ok($bye->cseq, '>', $invite->cseq, 'with a higher one');
	$carrier->reply($bye, 200) if $bye;
	my $final = $phone->want(sub { ($_[0]{status} // 0) >= 200 && $_[0]->cseq_method eq 'INVITE' });
	is($final ? $final->{status} : 'nothing', 487, 'the INVITE ends with 487');
	$d->ack_failure($final) if $final;
	my $r = $v->wait_record_of($d->{call_id});
	is_deeply([@$r{qw(ended_by answered_at)}], ['caller', undef], 'one record, of the caller who hung up');
	is(scalar(grep { $_->{call_id} eq $d->{call_id} } @{ $v->records }), 1, 'and no other');
}
{
	# BYE crosses its own 200, and a BYE from the other side comes after.
	my ($a, $b) = $phone->call($carrier, user => '100');
	$a->bye;
	my $bye = $carrier->want('BYE');
	$carrier->reply($bye, 200);
	$b->bye;
	ok($phone->want('200/BYE') && $carrier->want('200/BYE'), 'RFC5407-3.1.4 a BYE that crosses the 200 to the other side\'s is answered');
	ok($phone->never('BYE', 0.1), 'and goes no further');
	is($v->wait_record_of($a->{call_id})->{ended_by}, 'caller', 'the first one ended the call');
}
$v->done_ok;
done_testing;
