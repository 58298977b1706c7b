# SPDX-License-Identifier: GPL-2.0-or-later
# Forks behind a gateway: each early dialog has numbers of its own on both sides, ends alone, and a second answer harms nobody.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $hides = Velador::Peer->new(name => 'hides');
my $v = Velador->start(plan_of(carrier => { address => $carrier->addr, prefix => 1 }, hides => { address => $hides->addr, prefix => 2, call_id => 'own' }), reliable => { '100rel' => 'passthrough' });
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $elsewhere = Velador::Peer->new(name => 'elsewhere', to => $v->addr);

# A call that rings at n phones behind the gateway: (caller's end, the INVITE, the 180s).
sub forked {
	my ($peer, $n, %o) = @_;
	my $d = $phone->dialog(user => $o{user} // '100');
	$d->invite;
	my $invite = $peer->want('INVITE') or BAIL_OUT('no call comes through');
	$peer->reply($invite, 180, contact => 1, tag => "fork$_", headers => $o{headers}) for 1 .. $n;
	my @ring = map { $phone->want(180, call_id => $d->{call_id}) } 1 .. $n;
	return ($d, $invite, @ring);
}
# The caller's end of the early dialog that a 180 made: the same call, numbers of its own.
sub early { my ($d, $ring) = @_; return bless({ %$d, last => {} }, ref $d)->learn($ring) }
sub answered {
	my ($d, $peer, $invite, $tag) = @_;
	$peer->reply($invite, 200, sdp => 1, tag => $tag);
	my $ok = $phone->want('200/INVITE', call_id => $d->{call_id}) or return;
	$d->learn($ok)->ack(cseq => $d->{last}{INVITE}{cseq});
	$peer->want('ACK');
	return $peer->dialog_of($invite, tag => $tag);
}

for my $peer ($carrier, $hides) {
	my ($d, $invite, @ring) = forked($peer, 2, user => $peer == $hides ? '200' : '100', headers => [['Require', '100rel'], ['RSeq', 70]]);
	my @early = map { early($d, $_) } @ring;
	for my $i (0, 1) {
		$early[$i]->send('PRACK', headers => [['RAck', '70 1 INVITE']]);
		my $prack = $peer->want('PRACK');
		ok($prack, "RFC3261-12 $peer->{name}: PRACK number 2 in early dialog " . ($i + 1)) or next;
		is($prack->to_tag, 'fork' . ($i + 1), 'goes into its dialog');
		is($prack->h('RAck'), '70 ' . $invite->cseq . ' INVITE', 'RFC3262-7.2 RAck names the INVITE as that leg numbers it');
		is($prack->call_id, $invite->call_id, 'with the Call-ID of that leg');
		$peer->reply($prack, 200);
		ok($phone->want('200/PRACK', call_id => $d->{call_id}), 'and is answered');
	}
	my @callee = map { $peer->dialog_of($invite, tag => "fork$_", cseq => $_ == 1 ? 9000 : 5) } 1, 2;
	for my $b (@callee) {
		$b->send('UPDATE');
		my $update = $phone->want('UPDATE');
		ok($update, 'RFC3311-5.1 an UPDATE from each phone, whatever its numbers') or next;
		$phone->reply($update, 200);
		$peer->want('200/UPDATE');
	}
	my $b = answered($d, $peer, $invite, 'fork2');
	ok($b, 'the second one answers');
	$b->{cseq} = 6;
	$b->bye;
	my $bye = $phone->want('BYE', call_id => $d->{call_id});
	ok($bye, 'RFC3261-12.2.2 its BYE has a lower number than the other phone\'s UPDATE had');
	$phone->reply($bye, 200) if $bye;
	ok($peer->want('200/BYE'), 'and is answered');
}
{
	my ($d, $invite) = forked($carrier, 2);
	my $b = answered($d, $carrier, $invite, 'fork2');
	$carrier->reply($invite, 200, sdp => 1, tag => 'fork1', contact => '<sip:other@' . $elsewhere->addr . '>');
	ok($elsewhere->want('ACK'), 'RFC3261-13.2.2.4 a second 200 is ACKed');
	my $bye = $elsewhere->want('BYE');
	my $stray = $elsewhere->dialog_of($invite, tag => 'fork1');
	$stray->{local} = $bye->h('To');
	$stray->{to_addr} = $v->addr;
	$stray->bye;
	ok($elsewhere->want(sub { ($_[0]{status} // 0) >= 200 && $_[0]->cseq_method eq 'BYE' }), 'its own BYE, which crosses ours, is answered');
	$elsewhere->reply($bye, 200);
	$stray->send('INFO', body => 'x', type => 'text/plain');
	ok($elsewhere->want('481/INFO'), 'anything else gets 481');
	ok($phone->never('BYE', 0.2), 'the call that stands hears nothing of it');
	ok($phone->hang_up($d, $b), 'and works');
}
{
	my ($d, $invite, @ring) = forked($carrier, 2);
	early($d, $ring[0])->bye;
	my $bye = $carrier->want('BYE');
	ok($bye, 'RFC3261-15 a BYE into one of several early dialogs');
	is($bye->to_tag, 'fork1', 'goes into that dialog') if $bye;
	$carrier->reply($bye, 200) if $bye;
	ok($phone->want('200/BYE', call_id => $d->{call_id}), 'is answered');
	ok($carrier->never('CANCEL', 0.2), 'and cancels nothing');
	my $b = answered($d, $carrier, $invite, 'fork2');
	ok($b, 'the other phone answers');
	$d->{cseq} = 5;
	ok($phone->hang_up($d, $b), 'and the call works');
}
{
	my ($d, $invite) = forked($carrier, 12);
	my $b = answered($d, $carrier, $invite, 'fork12');
	ok($b, 'of twelve phones the last answers');
	for my $i (1 .. 10) {
		$carrier->reply($invite, 200, sdp => 1, tag => "fork$i");
		my ($ack, $bye) = map { my $what = $_; $carrier->want(sub { ($_[0]{method} // '') eq $what && $_[0]->to_tag eq "fork$i" }) } qw(ACK BYE);
		ok($ack && $bye, "and so does number $i: ACK and BYE");
		$carrier->reply($bye, 200) if $bye;
	}
	ok($phone->never('200/INVITE', 0.1), 'the caller hears of one');
	ok($phone->hang_up($d, $b), 'and the call works');
	is($v->wait_record_of($d->{call_id})->{reason}, 'normal', 'its record says so');
}
is(scalar(@{ $v->wait_records(5) }), 5, 'one call, one record');
$v->done_ok;
done_testing;
