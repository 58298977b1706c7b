# SPDX-License-Identifier: GPL-2.0-or-later
# Descriptions among other parts of a body, bodies that have none, and answers without Contact that waited for their turn: what reading the code with
# RFC 3262, RFC 3264 and RFC 3204 in hand found wrong.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $gw = Velador::Peer->new(name => 'gw');
my $v = Velador->start(
	plan_of(
		able => { address => $gw->addr, prefix => 1, '100rel' => 'supported' },
		off  => { address => $gw->addr, prefix => 2, '100rel' => 'off' }),
	reliable => { '100rel' => 'supported' }, retransmit => { t1 => '100ms' });
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my ($d, $invite);

sub invited {
	my ($user, %o) = @_;
	$d = $phone->dialog(user => $user);
	$d->invite(%o, headers => [['Supported', '100rel'], ['Allow', 'INVITE, ACK, CANCEL, BYE, PRACK']]);
	return $invite = $gw->want('INVITE', call_id => $d->{call_id}) || BAIL_OUT('no INVITE');
}
sub up   { return $phone->want($_[0], call_id => $d->{call_id}) // BAIL_OUT("the caller waits for $_[0]") }
sub down { my $m = $gw->want($_[0], call_id => $d->{call_id}); ok($m, "the gateway gets $_[0]"); return $m }
sub answered { my $m = down(@_); $gw->reply($m, 200) if $m; return $m }
sub body { my $m = shift; return $m ? $m->h('Content-Type') . "\n" . $m->{body} : '' }
sub over {
	my $who = $gw->dialog_of($invite);
	ok($phone->hang_up($d, $who), 'and the call works');
	is($v->wait_record_of($d->{call_id})->{reason}, 'normal', 'to its orderly end');
	return;
}
# A description beside ISUP.
my $isup = "\x01\x00\x49";
sub parts {
	my $sdp = shift;
	return (type => 'multipart/mixed;boundary=x', body => join "\r\n", '--x', 'Content-Type: application/ISUP;version=itu-t92+', '', $isup, '--x', 'Content-Type: application/sdp', '', $sdp . '--x--', '');
}
my $refusal = qr{^application/sdp\nv=0\r\n(?:[osct]=.*\r\n)+m=audio 0 RTP/AVP 0\r\n\z};

# ---- A 200 without Contact waits until a 183 is acknowledged. Its dialog leads to the gateway, whoever's message lets it go on.
for my $ends (qw(PRACK CANCEL)) {
	invited(1);
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 11 }, contact => 0);
	answered('PRACK');
	my $ring = up(183);
	$gw->reply($invite, 200, contact => 0);
	if ($ends eq 'PRACK') {
		$d->prack($ring);
		$d->learn(up('200/INVITE'))->ack;
		ok(down('ACK'), 'RFC3261-13.2.2.4 a 200 without Contact that a PRACK let go: its ACK goes to the gateway');
		over();
	} else {
		ok(!$phone->want('200/INVITE', call_id => $d->{call_id}, timeout => 0.1, quiet => 1), 'a 200 waits');
		$d->cancel;
		$d->ack_failure(up('487/INVITE'));
		ok(down('ACK'), 'RFC3261-13.2.2.4 one that a CANCEL overtook: ACKed at the gateway');
		ok(answered('BYE'), 'and hung up there');
	}
}
# ---- A second offer in a PRACK, among other parts, towards a gateway that takes no UPDATE.
{
	invited(1);
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 11 });
	answered('PRACK');
	$d->prack(up(183), parts($phone->sdp(version => 22)));
	like(body(up('200/PRACK')), qr{^application/sdp\nv=0\r\no=- 4711 11 }, 'RFC3262-5 an offer among other parts, in PRACK, gets the description last known');
	$gw->reply($invite, 200);
	$d->learn(up('200/INVITE'))->ack;
	down('ACK');
	my $m = answered('INVITE');
	is(body($m), "application/sdp\n" . $phone->sdp(version => 22), 'RFC3264-8 and the gateway is told it after the ACK');
	down('ACK');
	over();
}
# ---- The same towards one that takes it, but has not yet answered our own PRACK, which an UPDATE might overtake.
{
	invited(1);
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 11 }, headers => [['Allow', 'INVITE, ACK, CANCEL, BYE, PRACK, UPDATE']]);
	my $prack = down('PRACK');
	$d->prack(up(183), parts($phone->sdp(version => 22)));
	ok($gw->never('UPDATE', 0.1), 'RFC3261-12.2.2 an offer in PRACK waits while ours is open');
	$gw->reply($prack, 200);
	my $update = down('UPDATE');
	is(body($update), "application/sdp\n" . $phone->sdp(version => 22), 'RFC3311-5.1 and goes on by itself');
	$gw->reply($update, 200, sdp => { version => 12 });
	like(body(up('200/PRACK')), qr{^application/sdp\nv=0\r\no=- 4711 12 }, 'RFC3262-5 its answer comes back');
	$gw->reply($invite, 200);
	$d->learn(up('200/INVITE'))->ack;
	down('ACK');
	over();
}
# ---- The gateway's offer in an unreliable 183, the caller's answer among other parts of his PRACK: kept for our ACK.
{
	invited(2, sdp => 0);
	$gw->reply($invite, 183, sdp => { version => 11 });
	$d->prack(up(183), parts($phone->sdp(version => 12)));
	up('200/PRACK');
	$gw->reply($invite, 200, sdp => { version => 11 });
	$d->learn(up('200/INVITE'))->ack;
	is(body(down('ACK')), "application/sdp\n" . $phone->sdp(version => 12), 'RFC3261-13.2.1 an answer among other parts of a PRACK is the ACK\'s description');
	over();
}
# ---- A 200 that crosses our CANCEL is ACKed, and an offer in it refused (RFC 3264 §6), wherever it stands; an INVITE that brought ISUP alone made no offer.
for ([[sdp => 0], [parts($gw->sdp)], 'an offer among other parts'], [[type => 'application/ISUP', body => $isup], [sdp => 1], 'an offer to an INVITE with another body']) {
	my ($asked, $answer, $what) = @$_;
	invited(2, @$asked);
	$gw->reply($invite, 180);
	up(180);
	$d->cancel;
	$d->ack_failure(up('487/INVITE'));
	answered('CANCEL');
	$gw->reply($invite, 200, @$answer);
	like(body(down('ACK')), $refusal, "RFC3264-6 $what is refused in the ACK to a 200 that nobody wants");
	answered('BYE');
}
$v->done_ok;
done_testing;
