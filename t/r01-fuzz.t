# SPDX-License-Identifier: GPL-2.0-or-later
# What fuzzing of the call logic (t/fuzz_call.c) found, as an endpoint sees it.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

# A call whose 200 has this Contact; the Request-URI of the ACK to it.
sub acked_at {
	my ($contact, @headers) = @_;
	my ($a, $b) = $phone->call($carrier, ring => 0, answer => { contact => $contact, headers => [@headers] });
	my $ack = $b->{ack};
	$phone->hang_up($a, $b);
	return ($ack->{uri}, join ' ', $ack->all('Route'));
}

my $addr = quotemeta $carrier->addr;
like((acked_at('<sip:gw@192.0.2&1>'))[0], qr/^sip:$addr$/, 'RFC3261-12.1.2 a Contact that is no URI: the target is where the 200 came from');
like((acked_at('*'))[0], qr/^sip:$addr$/, 'so with *');
is((acked_at('<sip:gw@' . $carrier->addr . ';x=y?Route=%3Csip:192.0.2.1%3E>'))[0], 'sip:gw@' . $carrier->addr . ';x=y', 'RFC3261-19.1.1 headers of a Contact never come into a Request-URI');
is((acked_at(1, ['Record-Route', '<sip:[::192.0.2&1];lr>, <sip:' . $carrier->addr . ';lr>']))[1], '<sip:' . $carrier->addr . ';lr>',
	'RFC3261-12.1.2 a Record-Route that is no URI is left out of the route set');

{
	my $caller = $phone->dialog(headers => [['Contact', undef]]);
	$caller->invite;
	my $invite = $carrier->want('INVITE');
	like($invite->h('Contact'), qr/\@\Q@{[$v->addr]}\E>/, 'RFC3261-8.1.1.8 an INVITE without Contact gets ours');
	$carrier->reply($invite, 180);
	like($phone->want(180)->h('Contact'), qr/\@\Q@{[$v->addr]}\E>/, 'RFC3261-12.1.1 and so does a 180 to it');
	$carrier->reply($invite, 486);
	my $busy = $phone->want(486);
	is($busy->h('Contact'), '', 'but no refusal');
	$caller->ack_failure($busy);
	$carrier->want('ACK');
}
$v->done_ok;
done_testing;
