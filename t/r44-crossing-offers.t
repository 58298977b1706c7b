# SPDX-License-Identifier: GPL-2.0-or-later
# An offer that meets one from the other side, not answered yet: 491, whatever bears it. An older answer that came last would have undone the newer one.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

for my $method ('INVITE', 'UPDATE') {
	my ($a, $b) = $phone->call($carrier);
	$b->send('UPDATE', sdp => { version => 2 });
	my $update = $phone->want('UPDATE');
	$a->send($method, sdp => { version => 2 });
	my $no = $phone->want("491/$method");
	ok($no, "RFC3311-5.2 an offer in $method meets one in UPDATE: 491");
	$a->ack_failure($no) if $no && $method eq 'INVITE';
	ok(!(grep { $_->name eq $method } $carrier->drain), 'it goes no further');
	$phone->reply($update, 200, sdp => { version => 3 });
	ok($carrier->want('200/UPDATE'), 'the other is answered');
	$a->send($method, sdp => { version => 4 });
	my $again = $carrier->want($method);
	ok($again, 'then it passes');
	$carrier->reply($again, 200, sdp => { version => 3 }) if $again;
	ok($phone->want("200/$method"), 'and is answered');
	if ($method eq 'INVITE') {
		$a->ack;
		$carrier->want('ACK');
	}
	$b->send('UPDATE');
	my $plain = $phone->want('UPDATE');
	$a->send('UPDATE');
	my $other = $carrier->want('UPDATE');
	ok($other, 'RFC4028-7.4 one without an offer is not in its way');
	$carrier->reply($other, 200) if $other;
	$phone->reply($plain, 200);
	ok($phone->hang_up($a, $b), 'the call works');
}
$v->done_ok;
done_testing;
