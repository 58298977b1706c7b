# SPDX-License-Identifier: GPL-2.0-or-later
# Call-IDs: kept, made our own for a gateway, and shared by two calls that spiral through one PBX.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $pbx = Velador::Peer->new(name => 'pbx');
my $v = Velador->start(plan_of(hidden => { address => $carrier->addr, prefix => 1, call_id => 'own' }, open => { address => $carrier->addr, prefix => 2 },
	pbx => { address => $pbx->addr, role => 'both', prefix => 3 }));
$pbx->{to} = $v->addr;
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

{
	my $d = $phone->dialog(user => '100');
	$d->invite;
	my $invite = $carrier->want('INVITE');
	isnt($invite->call_id, $d->{call_id}, 'call_id = own: the gateway sees another Call-ID');
	unlike($invite->{raw}, qr/\Q$d->{call_id}\E/, 'and the caller\'s nowhere');
	my $b = $carrier->dialog_of($invite);
	$carrier->reply($invite, 180, contact => 1);
	my $ringing = $phone->want(180, call_id => $d->{call_id});
	ok($ringing, 'answers come back with the caller\'s own');
	$carrier->reply($invite, 200, sdp => 1);
	my $ok = $phone->want('200/INVITE', call_id => $d->{call_id});
	$d->learn($ok)->ack;
	my $ack = $carrier->want('ACK');
	is($ack->call_id, $invite->call_id, 'RFC3261-12.2.1.1 the ACK is in the gateway\'s dialog');
	$b->send('INFO', body => 'x', type => 'text/plain');
	my $info = $phone->want('INFO');
	is($info->call_id, $d->{call_id}, 'a request of the gateway reaches the caller\'s dialog');
	$phone->reply($info, 200);
	my $answer = $carrier->want('200/INFO');
	is($answer->call_id, $invite->call_id, 'and its answer the gateway\'s');
	$b->send('INFO', body => 'x', type => 'text/plain', uri => 'sip:100@' . $v->addr);
	$info = $phone->want('INFO');
	ok($info, 'RFC3261-12.2.2 even one that does not use our Contact: by Call-ID and tags') or BAIL_OUT('not found');
	$phone->reply($info, 200);
	$carrier->want('200/INFO');
	$d->send('INFO', body => 'x', type => 'text/plain');
	my $other = $carrier->want('INFO');
	is($other->call_id, $invite->call_id, 'and the other way round');
	$carrier->reply($other, 200);
	$phone->want('200/INFO');
	$d->bye;
	my $bye = $carrier->want('BYE');
	is($bye->call_id, $invite->call_id, 'BYE too');
	$carrier->reply($bye, 200);
	ok($phone->want('200/BYE'), 'and is answered');
	is($v->wait_record_of($d->{call_id})->{reason}, 'normal', 'the record names the caller\'s Call-ID');
}
{
	# The phone calls the PBX, which sends the call back to us with the same Call-ID and From tag, as a forwarding PBX does.
	my $d = $phone->dialog(user => '300');
	$d->invite;
	my $first = $pbx->want('INVITE');
	my $on = $pbx->dialog(user => '200', call_id => $first->call_id);
	$on->{local} = $first->h('From');
	$on->invite(cseq => $on->{cseq} = $first->cseq);
	my $second = $carrier->want('INVITE');
	ok($second, 'RFC3261-16.3 a spiral is no loop: the same Call-ID and From tag to another number') or BAIL_OUT('no spiral');
	is($second->call_id, $first->call_id, 'with the same Call-ID');
	$carrier->reply($second, 200, sdp => 1, tag => 'far');
	my $ok = $pbx->want('200/INVITE');
	$on->learn($ok)->ack;
	ok($carrier->want('ACK'), 'the second leg of it stands');
	$pbx->reply($first, 200, sdp => 1, tag => 'pbx');
	my $ok1 = $phone->want('200/INVITE');
	is($ok1->to_tag, 'pbx', 'the first one too');
	$d->learn($ok1)->ack;
	ok($pbx->want('ACK'), 'and is ACKed');
	is(scalar(grep { $_->{call_id} eq $d->{call_id} } @{ $v->ctl('calls') }), 2, 'two calls with one Call-ID');
	$d->bye;
	my $bye1 = $pbx->want('BYE');
	is($bye1->to_tag, 'pbx', 'a BYE of the caller ends the first');
	$pbx->reply($bye1, 200);
	ok($phone->want('200/BYE'), 'it is answered');
	ok($carrier->never('BYE', 0.2), 'the second goes on');
	$on->bye;
	my $bye2 = $carrier->want('BYE');
	is($bye2 && $bye2->to_tag, 'far', 'until the PBX ends it');
	$carrier->reply($bye2, 200) if $bye2;
	ok($pbx->want('200/BYE'), 'and that is answered');
	is(scalar(grep { $_->{call_id} eq $d->{call_id} } @{ $v->wait_records(3) }), 2, 'two records');
}
$v->done_ok;
done_testing;
