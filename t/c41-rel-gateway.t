# SPDX-License-Identifier: GPL-2.0-or-later
# RFC 3262 as UAC: what we acknowledge to a gateway, where, with which numbers, how often; and gateways that do it badly. The caller here cannot be reliable.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my ($gw, $far) = map { Velador::Peer->new(name => $_) } qw(gw far);
my $v = Velador->start(
	plan_of(
		carrier => { address => $gw->addr, prefix => 1, '100rel' => 'supported' },
		brief   => { address => $gw->addr, prefix => 2, '100rel' => 'supported', give_up => '300ms', invite_timeout => '5s' },
		hides   => { address => $gw->addr, prefix => 4, '100rel' => 'supported', call_id => 'own' },
		plain   => { address => $gw->addr, prefix => 3 }),
	retransmit => { t1 => '50ms', t2 => '200ms' });
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

sub invited {
	my $d = $phone->dialog(user => shift // '100');
	$d->invite;
	return ($d, $gw->want('INVITE', call_id => $d->{call_id}) || BAIL_OUT('no INVITE'));
}
# The 200, the ACK and the BYE: the call works, whatever was before.
sub works {
	my ($d, $invite, %o) = @_;
	$gw->reply($invite, 200, sdp => 1, %o);
	my $ok = $phone->want('200/INVITE', call_id => $d->{call_id});
	ok($ok, 'the 200 reaches the caller') or return;
	$d->learn($ok)->ack;
	ok($gw->want('ACK', call_id => $d->{call_id}), 'the ACK the gateway');
	$d->bye;
	my $bye = $gw->want('BYE', call_id => $d->{call_id}) or return fail('BYE');
	$gw->reply($bye, 200);
	ok($phone->want('200/BYE', call_id => $d->{call_id}), 'the call works');
	return $bye;
}
sub pracks { my ($d, $s) = @_; my @m; while (my $m = $gw->want('PRACK', call_id => $d->{call_id}, timeout => $s, quiet => 1)) { push @m, $m } return @m }

{
	my ($d, $invite) = invited();
	my $route = '<sip:' . $far->addr . ';lr>';
	$gw->reply($invite, 183, sdp => 1, rseq => 100, contact => '<sip:them@192.0.2.7:5070>', headers => [['Record-Route', $route]]);
	my $prack = $far->want('PRACK', call_id => $d->{call_id});
	ok($prack, 'RFC3262-4 PRACK goes by the route of the 1xx') or BAIL_OUT('no PRACK');
	is($prack->{uri}, 'sip:them@192.0.2.7:5070', 'RFC3261-12.2.1.1 to its Contact');
	is($prack->h('Route'), $route, 'with its route set');
	is($prack->h('RAck'), '100 ' . $invite->cseq . ' INVITE', 'RFC3262-7.2 RAck: its RSeq and the INVITE\'s CSeq of this leg');
	is($prack->cseq, $invite->cseq + 1, 'RFC3262-4 a CSeq of ours');
	is($prack->to_tag, $gw->{tags}{ $invite->call_id }, 'its To tag');
	is($prack->from_tag, $invite->from_tag, 'our From tag');
	my @again = map { $far->want('PRACK', call_id => $d->{call_id}) } 1 .. 4;
	is(scalar(grep { $_ && $_->{raw} eq $prack->{raw} } @again), 4, 'RFC3262-4 sent again, the same bytes, by the timer');
	my @at = map { $_->{time} } $prack, @again;
	my @wait = map { int(1000 * ($at[$_] - $at[ $_ - 1 ]) + 0.5) } 1 .. 4;
	ok($wait[0] < 90 && $wait[1] >= 90 && $wait[1] < 150 && $wait[2] >= 180 && $wait[3] >= 180 && $wait[3] < 260, "RFC3261-17.1.2.2 50, 100, 200, 200 ms (@wait)");
	$far->reply($prack, 200);
	ok($far->never(sub { 1 }, 0.4), 'until it is answered');
	$gw->reply($invite, 183, sdp => 1, rseq => 100, contact => '<sip:them@192.0.2.7:5070>', headers => [['Record-Route', $route]]);
	ok($far->never('PRACK', 0.2), 'RFC3262-4 a repeated 1xx gets no new PRACK');
	my @ring = grep { ($_->{status} // 0) == 183 } $phone->drain;
	is(scalar(@ring), 1, 'and the caller no second 183');
	is($ring[0]->h('RSeq') . $ring[0]->h('Require'), '', 'which is not reliable on his leg');
	$gw->reply($invite, 180, rseq => 102, contact => 1);
	ok($far->never('PRACK', 0.2), 'RFC3262-4 an RSeq that leaves a gap gets none');
	is(scalar(grep { ($_->{status} // 0) == 180 } $phone->drain), 0, 'and goes no further');
	$gw->reply($invite, 180, rseq => 101, contact => 1, headers => [['Record-Route', $route]]);
	$prack = $far->want('PRACK');
	is($prack->h('RAck'), '101 ' . $invite->cseq . ' INVITE', 'the next one does');
	is($prack->cseq, $invite->cseq + 2, 'with the next CSeq');
	$far->reply($prack, 200);
	ok($phone->want(180), 'and rings');
	$gw->reply($invite, 180, rseq => 99, contact => 1);
	ok($far->never('PRACK', 0.1), 'an old one not');
	my $bye = works($d, $invite, contact => 1);
	is($bye->cseq, $invite->cseq + 3, 'RFC3261-12.2.1.1 BYE above all PRACKs') if $bye;
	my $s = $v->stats;
	is("$s->{pracks_sent} $s->{pracks_resent} $s->{reliable_dropped}", '2 4 3', 'counted: sent, sent again, dropped');
}
# A gateway's leg with a Call-ID of its own.
{
	my $d = $phone->dialog(user => '400');
	$d->invite;
	my $invite = $gw->want('INVITE');
	isnt($invite->call_id, $d->{call_id}, 'call_id = own');
	$gw->reply($invite, 183, rseq => 3, sdp => 1);
	my $prack = $gw->want('PRACK');
	is($prack ? $prack->call_id : '', $invite->call_id, 'RFC3261-12.2.1.1 PRACK has the Call-ID of its leg');
	$gw->reply($prack, 200) if $prack;
	ok($phone->want(183, call_id => $d->{call_id}), 'the 183 that of the other');
	$gw->reply($invite, 486);
	$gw->want('ACK');
	$d->ack_failure($phone->want(486));
}
# Several To tags: a line of RSeq for each.
{
	my ($d, $invite) = invited();
	my %at = (x => 10, y => 4000000000, z => 1);
	for my $round (0, 1) {
		for my $tag (qw(x y z)) {
			$gw->reply($invite, 180 + $round, rseq => $at{$tag} + $round, tag => $tag, contact => '<sip:' . $tag . '@' . $gw->addr . '>');
			my $prack = $gw->want('PRACK', call_id => $d->{call_id}) or return;
			is($prack->h('RAck') . ' ' . $prack->to_tag . ' ' . ($prack->{uri} =~ /:(.)@/)[0], $at{$tag} + $round . ' ' . $invite->cseq . " INVITE $tag $tag", "RFC3262-4 To tag $tag: its own RSeq, its own target");
			$gw->reply($prack, 200);
		}
	}
	$gw->reply($invite, 183, rseq => 12, tag => 'y', contact => 1);
	is(scalar(pracks($d, 0.1)), 0, 'the number of one is nothing to another');
	works($d, $invite, tag => 'y');
}
# The PRACK is refused, or not answered at all: no harm to the call.
{
	my ($d, $invite) = invited();
	$gw->reply($invite, 183, sdp => 1, rseq => 5, contact => 1);
	my $prack = $gw->want('PRACK', call_id => $d->{call_id});
	$gw->reply($prack, 481);
	ok($phone->want(183), 'PRACK refused with 481: the 183 is with the caller');
	works($d, $invite);
	my ($d2, $invite2) = invited('200');
	$gw->reply($invite2, 183, sdp => 1, rseq => 5, contact => 1);
	my @all = pracks($d2, 0.35);
	cmp_ok(scalar(@all), '>=', 3, 'PRACK without answer: sent again');
	ok($gw->never('PRACK', 0.2), 'until we give it up');
	ok($phone->want(183), 'the 183 is with the caller');
	works($d2, $invite2);
	my $s = $v->stats;
	is("$s->{pracks_refused} $s->{pracks_unanswered}", '1 1', 'counted: refused, unanswered');
	is($v->wait_record_of($_->{call_id})->{reason}, 'normal', 'both records are good') for $d, $d2;
}
# The call is answered, refused, or canceled while our PRACK is open.
{
	my ($d, $invite) = invited();
	$gw->reply($invite, 183, sdp => 1, rseq => 5, contact => 1);
	my $prack = $gw->want('PRACK', call_id => $d->{call_id});
	works($d, $invite);
	$gw->reply($prack, 200);
	is($v->wait_record_of($d->{call_id})->{reason}, 'normal', 'RFC3262-4 the 200 crosses our PRACK');
	($d, $invite) = invited();
	$gw->reply($invite, 183, sdp => 1, rseq => 5, contact => 1);
	$prack = $gw->want('PRACK', call_id => $d->{call_id});
	$gw->reply($invite, 486);
	my $no = $phone->want(486);
	ok($no, 'so does a refusal');
	$d->ack_failure($no);
	is($v->wait_record_of($d->{call_id})->{reason}, 'busy', 'its record does not wait for the PRACK\'s answer');
	$gw->reply($prack, 481);
	($d, $invite) = invited();
	$gw->reply($invite, 183, sdp => 1, rseq => 5, contact => 1);
	$prack = $gw->want('PRACK', call_id => $d->{call_id});
	$d->cancel;
	my $cancel = $gw->want('CANCEL', call_id => $d->{call_id});
	ok($cancel, 'RFC3261-9.1 CANCEL while our PRACK is open');
	is($cancel->cseq, $invite->cseq, 'with the INVITE\'s number, not the PRACK\'s');
	$gw->reply($cancel, 200);
	$gw->reply($invite, 487);
	ok($gw->want('ACK', call_id => $d->{call_id}), '487 and ACK');
	$d->ack_failure($phone->want(487));
	is($v->wait_record_of($d->{call_id})->{reason}, 'canceled', 'one record');
	$gw->reply($prack, 200);
	$gw->drain;
}
# Agents as they are.
{
	my ($d, $invite) = invited();
	$gw->reply($invite, 180, rseq => 5, contact => '');
	my $prack = $gw->want('PRACK', call_id => $d->{call_id});
	ok($prack, 'a reliable 180 without Contact: PRACK goes where it came from');
	$gw->reply($prack, 200) if $prack;
	ok($phone->want(180), 'and it rings');
	$gw->reply($invite, 183, rseq => 6, sdp => 1, contact => '<sip:now@' . $gw->addr . '>');
	$prack = $gw->want('PRACK', call_id => $d->{call_id});
	like($prack ? $prack->{uri} : '', qr/^sip:now@/, 'the Contact that comes later counts');
	$gw->reply($prack, 200) if $prack;
	works($d, $invite);

	($d, $invite) = invited();
	$gw->reply($invite, 180, rseq => 5, tag => '', contact => 1);
	$prack = $gw->want('PRACK', call_id => $d->{call_id});
	is($prack ? $prack->to_tag : 'none', '', 'a reliable 180 without To tag: PRACK without one');
	$gw->reply($prack, 200) if $prack;
	ok($phone->want(180), 'and it rings');
	works($d, $invite, tag => 'late');

	($d, $invite) = invited();
	$gw->reply($invite, 180, contact => 1, headers => [['RSeq', 77]]);
	ok($phone->want(180, call_id => $d->{call_id}), 'RFC3262-4 an RSeq without Require is not reliable');
	$gw->reply($invite, 181, contact => 1, headers => [['Require', '100rel']]);
	ok($phone->want(181, call_id => $d->{call_id}), 'nor a Require without RSeq');
	$gw->reply($invite, 182, contact => 1, rseq => 'many');
	ok($phone->want(182, call_id => $d->{call_id}), 'nor an RSeq that is no number');
	$gw->reply($invite, 100, rseq => 1);
	is(scalar(pracks($d, 0.15)), 0, 'RFC3262-3 nor 100: no PRACK');
	works($d, $invite);

	($d, $invite) = invited('300');
	unlike($invite->h('Supported') . $invite->h('Require'), qr/100rel/, 'off: 100rel is not offered');
	$gw->reply($invite, 180, rseq => 5, contact => 1);
	$prack = $gw->want('PRACK', call_id => $d->{call_id});
	ok($prack, 'a gateway that is reliable all the same gets its PRACK');
	$gw->reply($prack, 200) if $prack;
	is(($phone->want(180, call_id => $d->{call_id}) // $invite)->h('RSeq'), '', 'and the caller a plain 180');
	works($d, $invite);

	($d, $invite) = invited();
	$gw->reply($invite, 180 + $_, rseq => 5 + $_, contact => 1) for 0 .. 3;
	my @p = map { $gw->want('PRACK', call_id => $d->{call_id}) } 0 .. 3;
	is(join(',', map { $_ ? ($_->h('RAck') =~ /^(\d+)/)[0] : '-' } @p), '5,6,7,8', 'one that does not wait for PRACK gets them all');
	$gw->reply($_, 200) for grep { $_ } @p;
	is(join(',', map { $_->{status} } grep { ($_->{status} // 0) > 100 && $_->call_id eq $d->{call_id} } $phone->drain), '180,181,182,183', 'and the caller all in order');
	works($d, $invite);
}
# A re-INVITE, to which we offer nothing: what comes reliably is acknowledged, on both legs; what must be reliable is not sent otherwise.
{
	my ($d, $invite) = invited();
	$gw->reply($invite, 200, sdp => 1);
	$d->learn($phone->want('200/INVITE', call_id => $d->{call_id}))->ack;
	$gw->want('ACK', call_id => $d->{call_id});
	for my $must (0, 1) {
		$d->invite(headers => $must ? [['Require', '100rel']] : []);
		my $re = $gw->want('INVITE', call_id => $d->{call_id});
		unlike($re->h('Supported') . $re->h('Require'), qr/100rel/, 'a re-INVITE offers no 100rel');
		for (1, 1, 2) { $gw->reply($re, 183, rseq => 70 + $_) }
		my @p = map { $gw->want('PRACK', call_id => $d->{call_id}) } 1, 2;
		is(join(' ', map { ($_->h('RAck') =~ /^(\d+)/)[0] } @p), '71 72', 'RFC3262-4 a gateway that answers it reliably gets one PRACK for each');
		$gw->reply($_, 200) for @p;
		is(scalar(pracks($d, 0.1)), 0, 'no more');
		my @ring = grep { ($_->{status} // 0) == 183 && $_->call_id eq $d->{call_id} } $phone->drain;
		is(scalar(@ring) ? 1 : 0, $must ? 0 : 1, $must ? 'RFC3262-3 a caller who requires it gets no other' : 'the caller gets them plainly');
		is((grep { $_->h('RSeq') } @ring), 0, 'with nothing of that leg') unless $must;
		$gw->reply($re, 200, sdp => 1);
		$d->learn($phone->want('200/INVITE', call_id => $d->{call_id}))->ack;
		$gw->want('ACK', call_id => $d->{call_id});
	}
	my $b = $gw->dialog_of($invite);
	$b->invite;
	my $re = $phone->want('INVITE', call_id => $d->{call_id});
	$phone->reply($re, 183, rseq => 9);
	my $p = $phone->want('PRACK', call_id => $d->{call_id});
	is($p ? $p->h('RAck') : '', '9 ' . $re->cseq . ' INVITE', 'so does a caller');
	is($p->cseq, $re->cseq + 1, 'with a number of his leg') if $p;
	$phone->reply($p, 200) if $p;
	$phone->reply($re, 200, sdp => 1);
	$gw->want('200/INVITE', call_id => $d->{call_id});
	$b->ack;
	$phone->want('ACK', call_id => $d->{call_id});
	ok($phone->hang_up($d, $b), 'the call works');
}
# The next gateway after a reliable 1xx; the same gateway after 422.
{
	my $v2 = Velador->start(plan_of(first => { address => $gw->addr, prefix => 1, priority => 1 }, second => { address => $far->addr, prefix => 1, priority => 2 }), reliable => { '100rel' => 'supported' });
	my $caller = Velador::Peer->new(name => 'caller', to => $v2->addr);
	my $d = $caller->dialog;
	$d->invite(headers => [['Supported', '100rel']]);
	my $invite = $gw->want('INVITE', call_id => $d->{call_id});
	$gw->reply($invite, 180, rseq => 50, contact => 1, tag => 'same');
	my $prack = $gw->want('PRACK', call_id => $d->{call_id});
	$gw->reply($invite, 181, rseq => 51, contact => 1, tag => 'same');
	$gw->want('PRACK', call_id => $d->{call_id});
	my $ring = $caller->want(180, call_id => $d->{call_id});
	$gw->reply($invite, 503);
	my $second = $far->want('INVITE', call_id => $d->{call_id});
	ok($second, 'a gateway fails after its reliable 180: the next one') or BAIL_OUT('no failover');
	cmp_ok($second->cseq, '>', $prack->cseq, 'RFC3261-8.1.1.5 its INVITE has a number above the PRACK');
	$far->reply($second, 183, sdp => 1, rseq => 900, contact => 1, tag => 'same');
	my $p2 = $far->want('PRACK', call_id => $d->{call_id});
	is($p2 ? $p2->h('RAck') : '', '900 ' . $second->cseq . ' INVITE', 'RFC3262-3 its RSeq begins anew, even with the same To tag');
	like($p2 ? $p2->{uri} : '', qr/\@\Q@{[$far->addr]}\E$/, 'its PRACK goes to it');
	$far->reply($p2, 200) if $p2;
	$gw->reply($prack, 200);
	ok($caller->never(183, 0.1), 'RFC3262-3 the caller has not acknowledged the first 180 yet');
	$d->prack($ring);
	ok($caller->want('200/PRACK', call_id => $d->{call_id}), 'his PRACK is good, though that gateway is gone');
	my $next = $caller->want(183, call_id => $d->{call_id});
	is($next ? $next->h('RSeq') - $ring->h('RSeq') : 0, 1, 'RFC3262-3 then the 183 of the second, RSeq plus one; what rang at the first does not come') or BAIL_OUT('no 183');
	$d->prack($next);
	$caller->want('200/PRACK', call_id => $d->{call_id});
	$far->reply($second, 200, tag => 'same');
	my $ok = $caller->want('200/INVITE', call_id => $d->{call_id});
	$d->learn($ok)->ack;
	$far->want('ACK');
	ok($caller->hang_up($d, $far->dialog_of($second, tag => 'same')), 'the call works');
	is_deeply($v2->wait_record_of($d->{call_id})->{tried}, ['first', 'second'], 'both in its record');

	$d = $caller->dialog;
	$d->invite;
	$invite = $gw->want('INVITE', call_id => $d->{call_id});
	$gw->reply($invite, 180, rseq => 50, contact => 1, tag => 'again');
	$prack = $gw->want('PRACK', call_id => $d->{call_id});
	$gw->reply($prack, 200);
	$gw->reply($invite, 422, headers => [['Min-SE', 1900]], tag => 'again');
	$gw->want('ACK', call_id => $d->{call_id});
	$invite = $gw->want('INVITE', call_id => $d->{call_id});
	$gw->reply($invite, 180, rseq => 7, contact => 1, tag => 'again');
	$prack = $gw->want('PRACK', call_id => $d->{call_id});
	is($prack ? $prack->h('RAck') : '', '7 ' . $invite->cseq . ' INVITE', 'RFC4028-7.3 after a 422 the RSeq of the new INVITE begins anew');
	$gw->reply($prack, 200) if $prack;
	$gw->reply($invite, 486);
	$gw->want('ACK', call_id => $d->{call_id});
	$d->ack_failure($caller->want(486));
	$v2->done_ok;
}
$v->done_ok;
done_testing;
