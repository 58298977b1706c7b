# SPDX-License-Identifier: GPL-2.0-or-later
# Requests inside dialogs: repeats, route sets, remote targets, forks, numbers out of order, and who may send them.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier', user => 'gw');
my $v = Velador->start(plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $elsewhere = Velador::Peer->new(name => 'elsewhere', to => $v->addr);

sub answer_ok {
	my ($peer, $what, $title) = @_;
	my $m = $peer->want($what);
	ok($m, $title);
	return $m;
}

{
	my ($a, $b) = $phone->call($carrier);
	$carrier->reply($b->{invite}, 200, sdp => 1);
	my $again = answer_ok($carrier, 'ACK', 'RFC3261-13.2.2.4 a repeated 200 is answered with the ACK');
	is($again->{raw}, $b->{ack}{raw}, 'the same bytes') if $again;
	ok($phone->never('200/INVITE', 0.2), 'and goes no further');
	$a->resend('ACK');
	ok($carrier->never('ACK', 0.2), 'a repeated ACK of the caller goes no further either');
	ok($phone->hang_up($a, $b), 'the call works');
	$a->resend('BYE');
	ok($phone->want('200/BYE'), 'RFC3261-17.2.2 a repeated BYE gets its 200 again');
	ok(!(grep { ($_->{method} // '') eq 'BYE' } $carrier->drain), 'and goes no further');
}
{
	my $d = $phone->dialog;
	$d->invite;
	my $invite = $carrier->want('INVITE');
	$phone->want(100);
	$d->resend('INVITE') for 1 .. 3;
	ok($phone->want(100), 'RFC3261-17.2.1 a repeated INVITE gets the last provisional answer again');
	$carrier->reply($invite, 180, contact => 1);
	$phone->want(180);
	$d->resend('INVITE');
	ok($phone->want(180), 'the newest');
	$carrier->reply($invite, 486);
	my $busy = $phone->want(486);
	$d->resend('INVITE');
	ok($phone->want(486), 'and the final one');
	$d->ack_failure($busy) if $busy;
	$carrier->want('ACK');
	ok(!(grep { ($_->{method} // '') eq 'INVITE' } $carrier->drain), 'the callee saw one INVITE');
	cmp_ok($v->stat_of('retransmissions_in'), '>=', 5, 'counted');
	$phone->drain;
}

# Route sets: a proxy of the caller's, and one of the gateway's, as loose and as strict routers.
for my $lr (';lr', '') {
	my $kind = $lr ? 'RFC3261-12.2.1.1 loose' : 'RFC3261-12.2.1.1 strict';
	my %proxy = map { $_ => Velador::Peer->new(name => "proxy of $_") } qw(caller callee);
	my %route = map { $_ => '<sip:' . $proxy{$_}->addr . "$lr>" } keys %proxy;
	my $d = $phone->dialog;
	$d->invite(headers => [['Record-Route', $route{caller}]]);
	my $invite = $carrier->want('INVITE');
	is(scalar($invite->all('Record-Route')), 0, "$kind routes: a Record-Route stays on its leg");
	my $b = $carrier->dialog_of($invite);
	$carrier->reply($invite, 200, sdp => 1, headers => [['Record-Route', $route{callee}]]);
	my $ok = $phone->want('200/INVITE');
	is_deeply([$ok->all('Record-Route')], [$route{caller}], 'the caller sees his own in the 200');
	$d->learn($ok);
	$d->ack(routes => []);
	my $target = $carrier->uri;
	my $ack = answer_ok($proxy{callee}, 'ACK', 'the ACK goes to the callee\'s proxy');
	my $check = sub {
		my ($m, $side, $contact) = @_;
		return unless $m;
		if ($lr) {
			is($m->{uri}, $contact, "$m->{method}: Request-URI is the target");
			is_deeply([$m->all('Route')], [$route{$side}], 'Route has the proxy');
		} else {
			is($m->{uri}, $route{$side} =~ s/[<>]//gr, "$m->{method}: Request-URI is the strict router");
			is_deeply([$m->all('Route')], ["<$contact>"], 'Route ends in the target');
		}
	};
	$check->($ack, 'callee', $target);
	$b->send('INFO', routes => [], body => 'x', type => 'text/plain');
	my $info = answer_ok($proxy{caller}, 'INFO', 'a request to the caller goes to his proxy');
	$check->($info, 'caller', $phone->uri);
	$proxy{caller}->reply($info, 200) if $info;
	ok($carrier->want('200/INFO'), 'and is answered');
	$d->bye(routes => []);
	my $bye = answer_ok($proxy{callee}, 'BYE', 'so does a BYE to the callee');
	$check->($bye, 'callee', $target);
	$proxy{callee}->reply($bye, 200) if $bye;
	ok($phone->want('200/BYE'), 'and is answered');
	$_->close for values %proxy;
}
{
	my ($a, $b) = $phone->call($carrier);
	$a->invite(contact => '<sip:moved@' . $elsewhere->addr . '>');
	my $re = answer_ok($carrier, 'INVITE', 'RFC3261-12.2.1.2 a re-INVITE with another Contact');
	$carrier->reply($re, 200, sdp => 1, contact => '<sip:gw@' . $elsewhere->addr . '>');
	$a->learn($phone->want('200/INVITE'));
	$a->ack;
	my $ack = answer_ok($elsewhere, 'ACK', 'RFC3261-12.2.1.2 its ACK goes to the Contact of the 200');
	is($ack->cseq, $re->cseq, 'with the CSeq of the re-INVITE') if $ack;
	$b->send('INFO', body => 'x', type => 'text/plain');
	my $info = answer_ok($elsewhere, 'INFO', 'and requests the other way to the caller\'s new target');
	is($info->{uri}, 'sip:moved@' . $elsewhere->addr, 'which is their Request-URI') if $info;
	$elsewhere->reply($info, 200) if $info;
	$carrier->want('200/INFO');
	$a->bye;
	my $bye = answer_ok($elsewhere, 'BYE', 'BYE too');
	$elsewhere->reply($bye, 200) if $bye;
	ok($phone->want('200/BYE'), 'and is answered');
}
{
	my ($a, $b) = $phone->call($carrier);
	$a->invite(contact => '<sip:moved@' . $elsewhere->addr . '>');
	my $re = $carrier->want('INVITE');
	$carrier->reply($re, 488, contact => '<sip:nowhere@' . $elsewhere->addr . '>');
	my $no = answer_ok($phone, 488, 'a re-INVITE that is refused');
	$a->ack_failure($no) if $no;
	ok($carrier->want('ACK'), 'and ACKed');
	$b->send('INFO', body => 'x', type => 'text/plain');
	my $info = answer_ok($phone, 'INFO', 'RFC6141-4.3 the caller\'s former target stays');
	$phone->reply($info, 200) if $info;
	$carrier->want('200/INFO');
	$a->send('UPDATE', contact => '<sip:moved@' . $elsewhere->addr . '>');
	my $update = $carrier->want('UPDATE');
	ok($update, 'RFC3311-5.2 UPDATE refreshes the target as well');
	$carrier->reply($update, 200);
	$phone->want('200/UPDATE');
	$b->send('INFO', body => 'x', type => 'text/plain');
	my $info2 = answer_ok($elsewhere, 'INFO', 'from its 200 on');
	$elsewhere->reply($info2, 200) if $info2;
	$carrier->want('200/INFO');
	ok($phone->hang_up($a, $b), 'the call works');
}
{
	my $d = $phone->dialog;
	$d->invite;
	my $invite = $carrier->want('INVITE');
	$carrier->reply($invite, 180, contact => 1, tag => "fork$_") for 1, 2;
	my @ring = map { $phone->want(180, call_id => $d->{call_id}) } 1, 2;
	is_deeply([map { $_ ? $_->to_tag : () } @ring], ['fork1', 'fork2'], 'RFC3261-12.1 two phones ring: the caller sees both To tags');
	$carrier->reply($invite, 200, sdp => 1, tag => 'fork2');
	my $ok = $phone->want('200/INVITE');
	is($ok->to_tag, 'fork2', 'one of them answers');
	$d->learn($ok)->ack;
	my $ack = $carrier->want('ACK');
	is($ack->to_tag, 'fork2', 'and is ACKed');
	$carrier->reply($invite, 200, sdp => 1, tag => 'fork1', contact => '<sip:other@' . $elsewhere->addr . '>');
	my $ack1 = answer_ok($elsewhere, 'ACK', 'RFC3261-13.2.2.4 a second 200 is ACKed');
	is($ack1->to_tag, 'fork1', 'in its own dialog') if $ack1;
	my $bye1 = answer_ok($elsewhere, 'BYE', 'and hung up');
	if ($bye1) {
		is($bye1->to_tag, 'fork1', 'in its own dialog');
		$elsewhere->reply($bye1, 200);
	}
	ok($phone->never('200/INVITE', 0.2), 'the caller hears nothing of it');
	my $b = $carrier->dialog_of($invite, tag => 'fork2');
	ok($phone->hang_up($d, $b), 'the call works');
}
{
	my ($a, $b) = $phone->call($carrier);
	$a->send('INFO', cseq => 20, body => 'x', type => 'text/plain');
	my $info = answer_ok($carrier, 'INFO', 'RFC3261-12.2.2 a gap in CSeq is legal');
	$carrier->reply($info, 200) if $info;
	$phone->want('200/INFO');
	$a->send('INFO', cseq => 19, body => 'x', type => 'text/plain');
	ok($phone->want('500/INFO'), 'RFC3261-12.2.2 a lower one gets 500');
	ok(!(grep { ($_->{method} // '') eq 'INFO' } $carrier->drain), 'and goes no further');
	cmp_ok($v->stat_of('out_of_order'), '>=', 1, 'counted');
	$a->{cseq} = 20;

	$a->invite(cseq => 21);
	my $re = $carrier->want('INVITE');
	$a->invite(cseq => 22);
	my $late = $phone->want(sub { $_[0]->cseq == 22 && ($_[0]{status} // 0) >= 400 });
	ok($late && $late->{status} == 500, 'RFC3261-14.2 a second INVITE while one is unanswered: 500') or diag($late ? $late->{status} : 'nothing');
	like($late->h('Retry-After'), qr/^\d+/, 'with Retry-After') if $late;
	$a->ack_failure($late) if $late;
	$b->invite;
	my $glare = $carrier->want(sub { ($_[0]{status} // 0) == 491 });
	ok($glare, 'RFC3261-14.2 one from the other side: 491');
	$b->ack_failure($glare) if $glare;
	$carrier->reply($re, 200, sdp => 1);
	$phone->want('200/INVITE');
	$a->ack(cseq => 21);
	my $ack = $carrier->want('ACK', call_id => $a->{call_id});
	ok($ack && $ack->cseq == $re->cseq, 'RFC3261-13.2.2.4 the ACK has its INVITE\'s number');
	$a->{cseq} = 30;
	ok($phone->hang_up($a, $b), 'the call works');
}
{
	my ($a, $b) = $phone->call($carrier);
	my $wrong = $a->{remote} =~ s/tag=\w+/tag=wrong/r;
	$a->send('INFO', remote => $wrong, body => 'x', type => 'text/plain');
	ok($phone->want('481/INFO'), 'RFC3261-12.2.2 a wrong To tag: 481');
	(my $handle = $a->{target}) =~ s/sip:(.)/'sip:' . ($1 eq 'a' ? 'b' : 'a')/e;
	$a->send('INFO', uri => 'sip:' . $v->addr, remote => $wrong, body => 'x', type => 'text/plain');
	ok($phone->want('481/INFO'), 'so without a handle in the Request-URI');
	$phone->dialog->send('BYE', remote => '<sip:a@b>;tag=x');
	ok($phone->want('481/BYE'), 'RFC3261-15.1.2 a BYE to nothing: 481');
	cmp_ok($v->stat_of('no_dialog'), '>=', 3, 'counted');

	my $stranger = Velador::Peer->new(name => 'stranger', host => '127.0.0.9', to => $v->addr);
	my $before = $v->stat_of('unknown_source');
	my $mine = $a->{peer};
	$a->{peer} = $stranger;
	$a->send('BYE', cseq => 40);
	ok($stranger->want('403/BYE'), 'a stranger is refused though he has everything right');
	is($v->stat_of('unknown_source'), $before + 1, 'and counted');
	ok($carrier->never('BYE', 0.2), 'the callee hears nothing');
	$a->{peer} = $elsewhere;
	$a->send('INFO', cseq => 41, body => 'x', type => 'text/plain');
	my $info = answer_ok($carrier, 'INFO', 'from another port of a known network it is taken: endpoints move');
	$carrier->reply($info, 200) if $info;
	ok($elsewhere->want('200/INFO'), 'and answered there');
	$a->{peer} = $mine;
	$a->{cseq} = 50;
	ok($phone->hang_up($a, $b), 'the call works');
}
{
	# Every request in either direction raises CSeq on the other leg, whatever it was on the first.
	my ($a, $b) = $phone->call($carrier);
	my @numbers = ($b->{invite}->cseq);
	for my $n (3, 9, 10) {
		$a->send('OPTIONS', cseq => $n);
		my $m = $carrier->want('OPTIONS') or next;
		push @numbers, $m->cseq;
		$carrier->reply($m, 200);
		my $ok = $phone->want('200/OPTIONS');
		is($ok->cseq, $n, "RFC3261-8.2.6.2 the answer bears the caller's own number $n") if $ok;
	}
	ok(@numbers == 4 && !(grep { $numbers[$_] <= $numbers[ $_ - 1 ] } 1 .. $#numbers), 'RFC3261-12.2.1.1 CSeq rises on the callee\'s leg') or diag("@numbers");
	$a->{cseq} = 11;
	ok($phone->hang_up($a, $b), 'the call works');
}
$v->done_ok;
done_testing;
