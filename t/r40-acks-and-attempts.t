# SPDX-License-Identifier: GPL-2.0-or-later
# Where an ACK of ours goes, and what an attempt leaves to the next one. Found by trying combinations that no other test has.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;
use Velador::Peer;

my $gw = Velador::Endpoint->new(name => 'gw');
my ($first, $second, $elsewhere) = map { Velador::Peer->new(name => $_) } qw(first second elsewhere);
my $v = Velador->start(
	plan_of(
		carrier => { address => $gw->addr, prefix => 1, ttl => '1s' },
		first   => { address => $first->addr, prefix => 2, priority => 1, invite_timeout => '400ms', give_up => '5s' },
		second  => { address => $second->addr, prefix => 2, priority => 2 }),
	session => { ttl => '1h', min_se => '1s', no_timer_interval => 0 }, reliable => { '100rel' => 'supported' });
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr);
my $moved = '<sip:moved@' . $elsewhere->addr . '>';

sub live { return Velador::Endpoint::live(@_) }
sub fresh { $_->drain for $phone, $first, $second, $elsewhere; return }
sub up { my ($d, $what) = @_; return $phone->want($what, call_id => $d->{call_id}) }

{
	my $call = $phone->talk($gw, callee => { update => 0 }, caller => { timer => 0 });
	$gw->on($call, sub { [200, contact => $moved] });
	ok(live(sub { @{ $gw->refreshes($call) } }, 3), 'a refresh by re-INVITE, whose 200 moves the Contact') or BAIL_OUT('no refresh');
	my $re = $gw->refreshes($call)->[0];
	my $ack = $elsewhere->want('ACK');
	is($ack ? $ack->cseq . " $ack->{uri}" : '', $re->cseq . ' sip:moved@' . $elsewhere->addr, 'RFC3261-12.2.1.2 its ACK goes to the new target');
	$gw->accept_refresh($re, contact => $moved);
	my $again = $elsewhere->want('ACK');
	is($again ? $again->{raw} : '', $ack ? $ack->{raw} : 'none', 'RFC3261-13.2.2.4 so does that of a repeat');
	is(scalar(grep { $_->cseq == $re->cseq } @{ $gw->acks($call) }), 0, 'nothing to the old one');
	my $next = $elsewhere->want('INVITE');
	ok($next, 'the next refresh is sent there');
	$elsewhere->reply($next, 200, sdp => 1, contact => $moved) if $next;
	$call->{caller}->bye;
	my $bye = $elsewhere->want('BYE');
	ok($bye, 'and the BYE');
	$elsewhere->reply($bye, 200) if $bye;
	ok(up($call->{caller}, '200/BYE'), 'clean end');
}
{
	fresh();
	my $d = $phone->dialog(user => '200');
	$d->invite;
	my $invite = $first->want('INVITE', call_id => $d->{call_id}) or BAIL_OUT('no INVITE');
	$first->reply($invite, 200, sdp => 1, contact => $moved);
	$d->learn(up($d, '200/INVITE'))->bye;
	ok($elsewhere->want('ACK'), 'RFC3261-15 a BYE before the ACK: ours goes to the Contact of the 200');
	$first->reply($invite, 200, sdp => 1, contact => $moved);
	ok($elsewhere->want('ACK'), 'RFC3261-13.2.2.4 to a repeat of the 200, too');
	ok($first->never('ACK', 0.1), 'not to where the INVITE went');
	my $bye = $elsewhere->want('BYE');
	$elsewhere->reply($bye, 200) if $bye;
	ok(up($d, '200/BYE'), 'clean end');
	$d->ack;
}
{
	fresh();
	my $d = $phone->dialog(user => '200');
	$d->invite;
	my $invite = $first->want('INVITE', call_id => $d->{call_id}) or BAIL_OUT('no INVITE');
	$first->reply($invite, 100);
	$first->reply($invite, 422, headers => [['Min-SE', 4000]]);
	my $again = $first->want(sub { ($_[0]{method} // '') eq 'INVITE' && $_[0]->cseq > $invite->cseq });
	is($again ? $again->h('Session-Expires') =~ /^(\d+)/ && $1 : 0, 4000, 'RFC4028-7.3 the INVITE after a 422');
	my $next = $second->want('INVITE', timeout => 2);
	ok($next, 'if nothing answers it within invite_timeout, the next gateway gets it') or BAIL_OUT('no failover');
	isnt($next->h('Session-Expires') =~ /^(\d+)/ && $1, 4000, 'RFC4028-7.3 who is asked for our interval, not for what the first one taught');
	cmp_ok($next->cseq, '>', $again->cseq, 'RFC3261-8.1.1.5 with a higher number');
	$first->reply($again, 200, sdp => 1);
	my ($ack, $bye) = map { $first->want($_, call_id => $d->{call_id}) } qw(ACK BYE);
	ok($ack && $bye, 'RFC3261-13.2.2.4 a late 200 of the first: ACK and BYE');
	$first->reply($bye, 200) if $bye;
	$second->reply($next, 200, sdp => 1);
	$d->learn(up($d, '200/INVITE'))->ack;
	ok($second->want('ACK'), 'the call comes about at the second');
	ok($phone->hang_up($d, $second->dialog_of($next)), 'and works');
	my $record = $v->wait_record_of($d->{call_id});
	is("$record->{reason} $record->{callee_gateway} @{$record->{tried}}", 'normal second first second', 'its record');
}
{
	fresh();
	my $d = $phone->dialog(user => '200');
	$d->invite(headers => [['Supported', '100rel']]);
	my $invite;
	for my $peer ($first, $second) {
		$invite = $peer->want('INVITE', call_id => $d->{call_id}) or BAIL_OUT('no INVITE');
		$peer->reply($invite, 180, rseq => 5);
		my $prack = $peer->want('PRACK');
		$peer->reply($prack, 200) if $prack;
		$d->prack(up($d, 180));
		ok(up($d, '200/PRACK'), "the $peer->{name} gateway rings reliably");
		$first->reply($invite, 503) if $peer == $first;
	}
	$d->bye;
	ok(up($d, '200/BYE'), 'RFC3261-15 the caller hangs up the early dialog that is left');
	my $cancel = $second->want(sub { ($_[0]{method} // '') =~ /^(?:BYE|CANCEL)$/ });
	is($cancel ? $cancel->{method} : '', 'CANCEL', 'RFC3261-9.1 that of a gateway which failed does not count: the attempt is canceled');
	$second->reply($cancel, 200) if $cancel;
	$second->reply($invite, 487);
	my $end = up($d, 487);
	$d->ack_failure($end) if $end;
	ok($second->want('ACK'), 'the 487 is ACKed');
	my $record = $v->wait_record_of($d->{call_id});
	is("$record->{ended_by} $record->{reason} $record->{sip_status}", 'caller canceled 487', 'the record says who gave up');
}
$v->done_ok;
done_testing;
