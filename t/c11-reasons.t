# SPDX-License-Identifier: GPL-2.0-or-later
# What a peer says about the end of a call passes to the other side, and into the record.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $busy = 'Q.850;cause=17;text="User busy"';

{
	my ($a, $b) = $phone->call($carrier);
	$b->bye(headers => [['Reason', 'Q.850;cause=16;text="Normal call clearing"'], ['X-Billing', 'stop']]);
	my $bye = $phone->want('BYE');
	is($bye->h('Reason'), 'Q.850;cause=16;text="Normal call clearing"', 'RFC3326-2 the Reason of a BYE passes');
	is($bye->h('X-Billing'), 'stop', 'as does every other header');
	$phone->reply($bye, 200);
	ok($carrier->want('200/BYE'), 'and its answer comes back');
	my $r = $v->wait_record_of($a->{call_id});
	is_deeply([@$r{qw(ended_by reason q850)}], ['callee', 'normal', 16], 'the record has its cause');
}
{
	my $d = $phone->dialog;
	$d->invite;
	my $invite = $carrier->want('INVITE');
	$carrier->reply($invite, 486, headers => [['Reason', $busy]]);
	my $final = $phone->want(486);
	is($final->h('Reason'), $busy, 'RFC6432-3 the Reason of a refusal passes');
	$d->ack_failure($final);
	my $r = $v->wait_record_of($d->{call_id});
	is_deeply([@$r{qw(ended_by reason q850 sip_status)}], ['callee', 'busy', 17, 486], 'the record has its cause');
}
{
	my $d = $phone->dialog;
	$d->invite;
	my $invite = $carrier->want('INVITE');
	$carrier->reply($invite, 180, contact => 1);
	$phone->want(180);
	$d->cancel(headers => [['Reason', 'SIP;cause=200;text="Call completed elsewhere"']]);
	$phone->want('200/CANCEL');
	my $cancel = $carrier->want('CANCEL');
	is($cancel->h('Reason'), 'SIP;cause=200;text="Call completed elsewhere"', 'RFC3326-2 the Reason of a CANCEL passes');
	$carrier->reply($cancel, 200);
	$carrier->reply($invite, 487);
	$carrier->want('ACK');
	my $final = $phone->want(487);
	$d->ack_failure($final) if $final;
	is($v->wait_record_of($d->{call_id})->{reason}, 'canceled', 'and the call counts as cancelled');
}
$v->done_ok;
done_testing;
