# SPDX-License-Identifier: GPL-2.0-or-later
# Subscriptions within a call (REFER): their requests still pass after the BYE, for as long as its repeats are absorbed.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my @refer = (headers => [['Refer-To', '<sip:200@velador.example>']]);

sub notify {
	my ($d, $status, $state) = @_;
	return $d->send('NOTIFY', headers => [['Event', 'refer'], ['Subscription-State', $state]], type => 'message/sipfrag;version=2.0', body => "SIP/2.0 $status\r\n");
}
# One NOTIFY from an end to the other, and its answer; returns what arrived.
sub notified {
	my ($from, $to, $status, $state, $answer) = @_;
	my ($sender, $receiver) = ($from->{peer}, $to->{peer});
	notify($from, $status, $state);
	my $m = $receiver->want('NOTIFY', call_id => $to->{call_id}) or return;
	$receiver->reply($m, $answer);
	return $sender->want("$answer/NOTIFY", call_id => $from->{call_id}) && $m;
}

for my $who ('caller', 'callee') {
	my ($a, $b) = $phone->call($carrier);
	my ($transferor, $transferee) = $who eq 'caller' ? ($a, $b) : ($b, $a);
	my ($one, $two) = map { $_->{peer} } $transferor, $transferee;
	$transferor->send('REFER', @refer);
	my $refer = $two->want('REFER');
	is($refer ? $refer->h('Refer-To') : '', $refer[1][0][1], "RFC3515-2.4.2 the $who transfers the other");
	$two->reply($refer, 202) if $refer;
	ok($one->want('202/REFER'), 'who accepts');
	ok(notified($transferee, $transferor, '100 Trying', 'active;expires=60', 200), 'RFC3515-2.4.4 and notifies');
	ok($one->hang_up($transferor, $transferee), 'the transferor hangs up');
	is($v->wait_record_of($a->{call_id})->{ended_by}, $who, 'the call is over, and its record written');
	my $last = notified($transferee, $transferor, '180 Ringing', 'active;expires=50', 200);
	ok($last, 'RFC5057-2.1.2 the subscription goes on: a NOTIFY after the BYE passes, and its answer');
	$transferee->resend('NOTIFY');
	ok($two->want('200/NOTIFY') && $one->never('NOTIFY', 0.1), 'RFC3261-17.2.2 a repeat gets it again');
	$transferor->send('SUBSCRIBE', headers => [['Event', 'refer'], ['Expires', 0]]);
	my $ends = $two->want('SUBSCRIBE');
	ok($ends, 'RFC6665-4.1.2.3 who hung up may end it');
	$two->reply($ends, 200) if $ends;
	$one->want('200/SUBSCRIBE');
	my $done = notified($transferee, $transferor, '200 OK', 'terminated;reason=noresource', 481);
	ok($done, 'RFC6665-4.1.3 and refuse the last NOTIFY');
	cmp_ok($done->cseq, '>', $last->cseq, 'RFC3261-12.2.1.1 each with a higher number') if $done;
	$transferee->send('INFO', body => 'x', type => 'text/plain');
	ok($two->want('481/INFO'), 'RFC5057-4.1 what belongs to the call gets 481');
	$transferee->bye;
	ok($two->want('200/BYE') && $one->never('BYE', 0.1), 'but for another BYE');
	is(scalar(grep { $_->{call_id} eq $a->{call_id} } @{ $v->records }), 1, 'one record');
}
{
	my ($a, $b) = $phone->call($carrier);
	$a->send('REFER', @refer);
	$carrier->reply($carrier->want('REFER'), 603);
	$phone->want('603/REFER');
	ok($phone->hang_up($a, $b), 'a transfer that was refused');
	notify($b, '100 Trying', 'active');
	ok($carrier->want('481/NOTIFY'), 'RFC5057-4.1 no subscription: a NOTIFY after the BYE gets 481');
}
$v->done_ok;
done_testing;
