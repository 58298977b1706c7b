# SPDX-License-Identifier: GPL-2.0-or-later
# A Reason that an endpoint gave is not lost where our CANCEL or BYE has to wait; each CANCEL of ours has one.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my ($first, $second) = map { Velador::Peer->new(name => $_) } qw(first second);
my $v = Velador->start(plan_of(first => { address => $first->addr, priority => 1, invite_timeout => '300ms' }, second => { address => $second->addr, priority => 2 }),
	retransmit => { give_up => '5s' });
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $elsewhere = 'SIP;cause=200;text="Call completed elsewhere"';

sub fresh { $_->drain for $phone, $first, $second; return }
sub invited {
	my $d = $phone->dialog;
	$d->invite;
	return ($d, $first->want('INVITE', call_id => $d->{call_id}) || BAIL_OUT('no INVITE'));
}
sub refused {
	my ($d, $status) = @_;
	my $m = $phone->want("$status/INVITE", call_id => $d->{call_id});
	$d->ack_failure($m) if $m;
	return $m;
}
# The gateway gives up, having been canceled with that Reason.
sub canceled {
	my ($gateway, $invite, $reason, $title) = @_;
	my $cancel = $gateway->want('CANCEL', call_id => $invite->call_id);
	is($cancel ? $cancel->h('Reason') : 'no CANCEL', $reason, $title);
	$gateway->reply($cancel, 200) if $cancel;
	$gateway->reply($invite, 487);
	ok($gateway->want('ACK', call_id => $invite->call_id), 'clean end');
	return;
}

{
	my ($d, $invite) = invited();
	$d->cancel(headers => [['Reason', $elsewhere]]);
	ok(refused($d, 487), 'a CANCEL before any answer of the gateway');
	$first->reply($invite, 180);
	canceled($first, $invite, $elsewhere, 'RFC3326-2 when it can go, it bears the caller\'s Reason');
	fresh();
	($d, $invite) = invited();
	$first->reply($invite, 180, contact => 1);
	$d->learn($phone->want(180))->bye(headers => [['Reason', $elsewhere]]);
	ok(refused($d, 487), 'a BYE in an early dialog');
	canceled($first, $invite, $elsewhere, 'RFC3326-2 the CANCEL that it becomes has its Reason');
	fresh();
	($d, $invite) = invited();
	$d->cancel(headers => [['Reason', $elsewhere]]);
	refused($d, 487);
	$first->reply($invite, 200, sdp => 1);
	my ($ack, $bye) = map { $first->want($_, call_id => $d->{call_id}) } qw(ACK BYE);
	is($ack && $bye ? $bye->h('Reason') : 'none', $elsewhere, 'RFC3326-2 so has the BYE to a callee who answered first');
	$first->reply($bye, 200) if $bye;
}
{
	fresh();
	my ($d, $invite) = invited();
	my $callee = $first->dialog_of($invite);
	$first->reply($invite, 200, sdp => 1);
	$d->learn($phone->want('200/INVITE'));
	$callee->bye(headers => [['Reason', 'Q.850;cause=31']]);
	ok($first->want('200/BYE'), 'a callee\'s BYE before the caller\'s ACK');
	$d->ack;
	my $bye = $phone->want('BYE');
	is($bye ? $bye->h('Reason') : 'no BYE', 'Q.850;cause=31', 'RFC3326-2 the BYE that waited for it has its Reason');
	$phone->reply($bye, 200) if $bye;
	is($v->wait_record_of($d->{call_id})->{q850}, 31, 'the record, too');
}
{
	fresh();
	my ($d, $invite) = invited();
	my $other = $second->want('INVITE', call_id => $d->{call_id}) or BAIL_OUT('no failover');
	$first->reply($invite, 180);
	canceled($first, $invite, 'SIP;cause=408;text="No answer"', 'RFC3326-2 the CANCEL to a gateway that rang too late says why');
	$second->reply($other, 180);
	$phone->want(180);
	$d->cancel(headers => [['Reason', $elsewhere]]);
	ok(refused($d, 487), 'then the caller gives up');
	canceled($second, $other, $elsewhere, 'RFC3326-2 the other hears of his Reason');
}
$v->done_ok;
done_testing;
