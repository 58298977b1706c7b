# SPDX-License-Identifier: GPL-2.0-or-later
# Crossings of three: a refresh of ours, both endpoints' re-INVITEs and a BYE; a gateway that failed, the next one's 200 and the caller's CANCEL.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my ($first, $second) = map { Velador::Peer->new(name => $_) } qw(first second);
my $v = Velador->start(plan_of(first => { address => $first->addr, priority => 1, ttl => '1s' }, second => { address => $second->addr, priority => 2 }),
	reliable => { '100rel' => 'supported' }, session => { ttl => '1h', min_se => '1s', no_timer_interval => 0 }, retransmit => { t1 => '100ms' });
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my @timer = (['Supported', 'timer'], ['Session-Expires', '1;refresher=uac'], ['Require', 'timer']);

sub up { my ($d, $what) = @_; return $phone->want($what, call_id => $d->{call_id}) // BAIL_OUT("the caller waits for $what") }
sub down { my ($d, $what, $gw) = @_; return ($gw // $first)->want($what, call_id => $d->{call_id}) // BAIL_OUT("the gateway waits for $what") }
sub record_ok {
	my ($d, $expect) = @_;
	my $r = $v->wait_record_of($d->{call_id}, 8);
	is("$r->{ended_by} $r->{reason} $r->{sip_status} @{$r->{tried}}", $expect, 'one record');
	return;
}
# A call whose callee has a timer and knows no UPDATE, up to our first re-INVITE.
sub refreshing {
	my $d = $phone->dialog;
	$d->invite;
	my $invite = down($d, 'INVITE');
	$first->reply($invite, 200, sdp => 1, headers => [@timer]);
	$d->learn(up($d, '200/INVITE'))->ack;
	down($d, 'ACK');
	return ($d, $first->dialog_of($invite), down($d, 'INVITE'));
}

{
	my ($d, $b, $refresh) = refreshing();
	$first->reply($refresh, 100);
	$d->invite;
	up($d, '100/INVITE');
	$b->invite;
	my $glare = down($d, '491/INVITE');
	ok($glare, 'RFC3261-14.2 our refresh is open, the caller\'s re-INVITE waits for it, the callee\'s own: 491');
	$b->ack_failure($glare);
	$b->bye;
	my $bye = up($d, 'BYE');
	my $end = up($d, '487/INVITE');
	ok($end, 'RFC5407-3.2 the callee\'s BYE crosses all of them: what waited gets 487');
	$d->ack_failure($end);
	$first->reply($refresh, 487);
	$d->bye;
	ok(up($d, '200/BYE'), 'RFC5407-3.1.4 and the caller\'s BYE crosses that');
	$phone->reply($bye, 200);
	ok(down($d, '200/BYE'), 'both are answered');
	record_ok($d, 'callee normal 200 first');
}
{
	my ($d, undef, $refresh) = refreshing();
	$d->invite;
	up($d, '100/INVITE');
	$d->bye;
	$d->ack_failure(up($d, '487/INVITE'));
	my $bye = down($d, 'BYE');
	$first->reply($refresh, 200, sdp => 1, headers => [@timer]);
	is(down($d, 'ACK')->cseq, $refresh->cseq, 'RFC3261-13.2.2.4 a BYE has gone: the 200 to our refresh is ACKed all the same');
	$first->reply($bye, 200);
	ok(up($d, '200/BYE'), 'clean end');
	record_ok($d, 'caller normal 200 first');
}
{
	my ($d, undef, $refresh) = refreshing();
	$first->reply($refresh, 200, sdp => 1, headers => [@timer]);
	down($d, 'ACK');
	$d->bye;
	$first->reply(down($d, 'BYE'), 407, headers => [['Proxy-Authenticate', 'Digest realm="x", nonce="y"']]);
	up($d, '407/BYE');
	my $next = down($d, 'INVITE');
	ok($next, 'RFC4028-10 a BYE that was challenged: the session is refreshed meanwhile');
	$first->reply($next, 200, sdp => 1, headers => [@timer]);
	down($d, 'ACK');
	$d->bye(headers => [['Proxy-Authorization', 'Digest username="a"']]);
	my $bye = down($d, 'BYE');
	cmp_ok($bye->cseq, '>', $next->cseq, 'RFC3261-22.2 and hung up by the next one');
	$first->reply($bye, 200);
	up($d, '200/BYE');
	record_ok($d, 'caller normal 200 first');
}
{
	my $d = $phone->dialog;
	$d->invite(headers => [['Supported', '100rel']]);
	my $invite = down($d, 'INVITE');
	$first->reply($invite, 180, rseq => 9);
	my $prack = down($d, 'PRACK');
	my $ring = up($d, 180);
	$first->reply($invite, 480);
	my $next = down($d, 'INVITE', $second);
	$second->reply($next, 183, rseq => 4, sdp => 1);
	my $other = down($d, 'PRACK', $second);
	$d->cancel;
	up($d, '200/CANCEL');
	$d->ack_failure(up($d, '487/INVITE'));
	$d->prack($ring);
	ok(up($d, '200/PRACK'), 'RFC3262-3 a PRACK for the gateway that failed crosses the 487: answered');
	my $cancel = down($d, 'CANCEL', $second);
	$second->reply($next, 200);
	$second->reply($cancel, 200);
	$second->reply($other, 200);
	$first->reply($prack, 481);
	ok(down($d, 'ACK', $second), 'RFC5407-3.1.2 the second answers across the CANCEL, with PRACKs open at both: ACK');
	my $bye = down($d, 'BYE', $second);
	cmp_ok($bye->cseq, '>', $other->cseq, 'RFC3261-12.2.1.1 and BYE, with a number above the PRACK');
	$second->reply($bye, 200);
	ok($first->never('CANCEL', 0.1), 'nothing more to the first');
	record_ok($d, 'caller canceled 487 first second');
}
$v->done_ok;
done_testing;
