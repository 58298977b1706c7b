# SPDX-License-Identifier: GPL-2.0-or-later
# maddr in Contacts and routes says where a request goes (RFC 3261 19.1.1), unless it is not one host's; and none of ours passes to a gateway.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

Velador::alone();
my $carrier = Velador::Peer->new(name => 'carrier');
my $elsewhere = Velador::Peer->new(name => 'elsewhere');
my $v = Velador->start(plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $port = $elsewhere->{port};

# A call whose callee names that Contact, and perhaps a route; where its ACK and BYE go to.
sub call_goes_to {
	my ($peer, $contact, $title, %o) = @_;
	my $d = $phone->dialog;
	$d->invite;
	my $invite = $carrier->want('INVITE', call_id => $d->{call_id}) or BAIL_OUT('no INVITE');
	$carrier->reply($invite, 200, sdp => 1, contact => $contact, ($o{route} ? (headers => [['Record-Route', $o{route}]]) : ()));
	$d->learn($phone->want('200/INVITE'))->ack(routes => []);
	my $ack = $peer->want('ACK', call_id => $d->{call_id});
	ok($ack, $title);
	is($ack->{uri}, $contact =~ s/[<>]//gr, 'the Request-URI is the Contact as it was given') if $ack;
	$d->bye(routes => []);
	my $bye = $peer->want('BYE', call_id => $d->{call_id});
	$peer->reply($bye, 200) if $bye;
	return ok($phone->want('200/BYE', call_id => $d->{call_id}), 'the call works');
}

call_goes_to($elsewhere, "<sip:gw\@carrier.example:$port;maddr=127.0.0.1>", 'RFC3261-19.1.1 maddr says where a Contact is');
call_goes_to($elsewhere, "<sip:gw\@192.0.2.9:$port;maddr=127.0.0.1>", 'RFC3261-19.1.1 overriding the address that its host is');
call_goes_to($elsewhere, '<sip:gw@192.0.2.9>', 'RFC3261-19.1.1 so in a route', route => "<sip:proxy.example:$port;lr;maddr=127.0.0.1>");
for my $maddr ('239.255.255.1', '255.255.255.255', '[ff02::1]', '[::1]', 'host.example') {
	call_goes_to($carrier, "<sip:gw\@127.0.0.1:$port;maddr=$maddr>", "a maddr of $maddr leads nowhere: to where the callee's answer came from");
}
call_goes_to($carrier, "<sip:gw\@239.255.255.1:$port>", 'so does a multicast host');
{
	my $d = $phone->dialog;
	$d->invite(uri => "$d->{target};maddr=127.0.0.1;transport=udp;ttl=3;user=phone;x=1");
	my $invite = $carrier->want('INVITE', call_id => $d->{call_id});
	is($invite ? $invite->{uri} : '', 'sip:100@' . $carrier->addr . ';user=phone;x=1', 'RFC3261-16.4 what led the caller to us does not lead on from the gateway');
	$carrier->reply($invite, 404) if $invite;
	$d->ack_failure($phone->want(404));
	$phone->send($phone->request('MESSAGE', 'sip:100@' . $v->addr . ';maddr=127.0.0.1;x=1', body => 'hi', type => 'text/plain'));
	my $m = $carrier->want('MESSAGE');
	is($m ? $m->{uri} : '', 'sip:100@' . $carrier->addr . ';x=1', 'nor outside of a call');
	$carrier->reply($m, 200) if $m;
	ok($phone->want('200/MESSAGE'), 'clean end');
}
$v->done_ok;
done_testing;
