# SPDX-License-Identifier: GPL-2.0-or-later
# What a failed attempt leaves behind does not touch the call that came about elsewhere.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my %peer = map { $_ => Velador::Peer->new(name => $_) } qw(first second);
my $v = Velador->start(plan_of(
	first  => { address => $peer{first}->addr, priority => 1, invite_timeout => '300ms' },
	second => { address => $peer{second}->addr, priority => 2 },
));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

# A call that the first gateway did not answer in time: (caller's end, the two INVITEs).
sub failed_over {
	my $d = $phone->dialog(user => '100');
	$d->invite;
	my $invite = $peer{first}->want('INVITE', call_id => $d->{call_id}) or BAIL_OUT('no call comes through');
	my $second = $peer{second}->want('INVITE', call_id => $d->{call_id}) or BAIL_OUT('no failover');
	return ($d, $invite, $second);
}
sub established {
	my ($d, $invite) = @_;
	$peer{second}->reply($invite, 200, sdp => 1);
	$d->learn($phone->want('200/INVITE', call_id => $d->{call_id}))->ack;
	$peer{second}->want('ACK', call_id => $d->{call_id});
	return $peer{second}->dialog_of($invite);
}
sub late_answer_ok {
	my ($invite, $title) = @_;
	$peer{first}->reply($invite, 200, sdp => 1, contact => '<sip:gw@name-nobody-knows.example>');
	my $ack = $peer{first}->want('ACK', call_id => $invite->call_id);
	ok($ack, "RFC3261-13.2.2.4 $title: its late 200 is ACKed, by the way that its INVITE went");
	is($ack->cseq, $invite->cseq, 'with its CSeq') if $ack;
	my $bye = $peer{first}->want('BYE', call_id => $invite->call_id);
	ok($bye, 'and hung up');
	$peer{first}->reply($bye, 200) if $bye;
	ok($phone->never('200/INVITE', 0.1), 'the caller hears nothing of it');
	return;
}

{
	my ($d, $invite, $second) = failed_over();
	my $b = established($d, $second);
	$b->invite;
	my $re = $phone->want('INVITE', call_id => $d->{call_id});
	ok($re, 'RFC3261-14.2 an attempt nobody answered is no glare: a re-INVITE of the callee comes through');
	if ($re) {
		$phone->reply($re, 200, sdp => 1);
		$b->learn($peer{second}->want('200/INVITE'))->ack;
		$phone->want('ACK');
	}
	late_answer_ok($invite, 'in an established call');
	ok($phone->hang_up($d, $b), 'the call works');
	$peer{first}->drain;
}
{
	my ($d, $invite, $second) = failed_over();
	late_answer_ok($invite, 'while the next gateway is being asked');
	my $b = established($d, $second);
	ok($phone->hang_up($d, $b), 'the call works');
	$peer{first}->drain;
}
{
	my ($d, $invite, $second) = failed_over();
	$peer{second}->reply($second, 200, sdp => 1);
	ok($phone->want('200/INVITE'), 'answered, no ACK yet');
	late_answer_ok($invite, 'before the caller\'s ACK');
	my ($call) = @{ $v->ctl('calls') };
	$v->ctl_raw('hangup', $call->{id});
	my $ack = $peer{second}->want('ACK');
	ok($ack, 'hung up: the second is ACKed');
	is($ack->cseq, $second->cseq, 'with its number') if $ack;
	ok(!(grep { ($_->{method} // '') eq 'ACK' } $peer{second}->drain), 'once') if $ack;
	my $bye = $peer{second}->want('BYE', quiet => 1, timeout => 1);
	$peer{second}->reply($bye, 200) if $bye;
	$d->learn(Velador::Message->parse("SIP/2.0 200 OK\r\nTo: " . $second->h('To') . ";tag=$peer{second}{tags}{$d->{call_id}}\r\n\r\n"));
	$d->send('ACK', cseq => 1);
	$bye = $phone->want('BYE');
	ok($bye, 'RFC3261-15 the caller gets his BYE after his ACK');
	$phone->reply($bye, 200) if $bye;
	is($v->wait_record_of($d->{call_id})->{reason}, 'admin', 'one record');
}
{
	# A late refusal or ring is no news either.
	my ($d, $invite, $second) = failed_over();
	$peer{first}->reply($invite, 180, contact => 1);
	my $cancel = $peer{first}->want('CANCEL', call_id => $d->{call_id});
	ok($cancel, 'RFC3261-9.1 a late 180 is followed by CANCEL');
	$peer{first}->reply($cancel, 200) if $cancel;
	$peer{first}->reply($invite, 486);
	ok($peer{first}->want('ACK', call_id => $d->{call_id}), 'a late 486 is ACKed');
	ok($phone->never(486, 0.1), 'and goes no further');
	my $b = established($d, $second);
	ok($phone->hang_up($d, $b), 'the call works');
}
$v->done_ok;
done_testing;
