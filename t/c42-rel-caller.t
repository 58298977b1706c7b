# SPDX-License-Identifier: GPL-2.0-or-later
# RFC 3262 as UAS: what we send to a caller reliably, in which order, how often, and what his PRACK does; behind a gateway that is reliable and one that is not.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $gw = Velador::Peer->new(name => 'gw');
my $v = Velador->start(plan_of(carrier => { address => $gw->addr, prefix => 1, '100rel' => 'off' }, able => { address => $gw->addr, prefix => 2, '100rel' => 'supported' }),
	reliable => { '100rel' => 'supported' }, retransmit => { t1 => '50ms', t2 => '200ms' });
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
$gw->auto(sub { my $m = shift; return $m->is_request && $m->{method} eq 'PRACK' && $gw->reply($m, 200) });

sub invited {
	my %o = @_;
	my $d = $phone->dialog(user => $o{user} // '100');
	$d->invite(headers => [[$o{must} ? 'Require' : 'Supported', '100rel']]);
	return ($d, $gw->want('INVITE', call_id => $d->{call_id}) || BAIL_OUT('no INVITE'));
}
sub status { my ($d, $status, %o) = @_; return $phone->want($status, call_id => $d->{call_id}, %o) }
sub quiet { my ($d, $status, $s) = @_; return !$phone->want($status, call_id => $d->{call_id}, timeout => $s, quiet => 1) }
# All copies of provisional responses that a call has got so far.
sub copies { my $d = shift; Velador::Peer::pump(0); return grep { my $m = $_; ($m->{status} // 0) > 100 && $m->{status} < 200 && $m->call_id eq $d->{call_id} } @{ $phone->{inbox} } }
sub forget { my $d = shift; $phone->{inbox} = [grep { $_->call_id ne $d->{call_id} } @{ $phone->{inbox} }]; return }
sub acknowledged {
	my ($d, $m, %o) = @_;
	$d->prack($m, %o);
	my $answer = $phone->want(sub { ($_[0]{status} // 0) >= 200 && $_[0]->cseq_method eq 'PRACK' && $_[0]->call_id eq $d->{call_id} && $_[0]->cseq == $d->{cseq} });
	return $answer ? $answer->{status} : 0;
}
sub works {
	my ($d, $invite, %o) = @_;
	$gw->reply($invite, 200, sdp => 1, %o) unless $o{answered};
	my $ok = status($d, '200/INVITE');
	ok($ok, 'the 200') or return;
	$d->learn($ok)->ack;
	ok($gw->want('ACK', call_id => $d->{call_id}), 'the ACK');
	$d->bye;
	my $bye = $gw->want('BYE', call_id => $d->{call_id}) or return fail('BYE');
	$gw->reply($bye, 200);
	return ok(status($d, '200/BYE'), 'the call works');
}

# Two that are never acknowledged: looked at again at the end, for 64*T1 is never under 32 s. The second one is answered meanwhile.
my ($mute, $mute_invite) = invited();
$gw->reply($mute_invite, 183, sdp => 1);
my ($mute2, $mute2_invite) = invited();
$gw->reply($mute2_invite, 183, sdp => 1);
status($mute2, 183);
$gw->reply($mute2_invite, 200);
my $begun = Velador::now();

{
	my ($d, $invite) = invited();
	$gw->reply($invite, 180, contact => '');
	my $first = status($d, 180) or BAIL_OUT('no 180');
	is($first->h('Require'), '100rel', 'RFC3262-3 a 180 of a gateway that is not reliable comes reliably to a caller who can');
	ok($first->h('RSeq') >= 1 && $first->h('RSeq') < 2**31, 'RFC3262-3 RSeq from 1 to 2^31 - 1');
	like($first->contact_uri, qr/\@\Q@{[$v->addr]}\E/, 'RFC3262-4 with a Contact, which this gateway had not: a PRACK needs a target');
	is(scalar($first->all('Contact')), 1, 'one of them');
	my @again = map { status($d, 180) } 1 .. 4;
	is(scalar(grep { $_ && $_->{raw} eq $first->{raw} } @again), 4, 'RFC3262-3 sent again, the same bytes') or BAIL_OUT('no resends');
	my @at = map { $_->{time} } $first, @again;
	my @wait = map { int(1000 * ($at[$_] - $at[ $_ - 1 ]) + 0.5) } 1 .. 4;
	ok($wait[0] < 90 && $wait[1] >= 90 && $wait[1] < 160 && $wait[2] >= 190 && $wait[2] < 270 && $wait[3] >= 390 && $wait[3] < 480, "RFC3262-3 T1 doubling, without T2: 50, 100, 200, 400 ms (@wait)");
	$gw->reply($invite, 181);
	$gw->reply($invite, 183, sdp => 1);
	ok(quiet($d, 181, 0.2), 'RFC3262-3 the next one not before its PRACK');
	my $ci = $d->{last}{INVITE}{cseq};
	my $rseq = $first->h('RSeq');
	$d->learn($first);
	my %wrong = ('another RSeq' => [$rseq + 1 . " $ci INVITE"], 'another CSeq' => ["$rseq " . ($ci + 1) . ' INVITE'], 'another method' => ["$rseq $ci OPTIONS"]);
	for (sort keys %wrong) {
		$d->send('PRACK', headers => [['RAck', $wrong{$_}[0]]]);
		ok(status($d, '481/PRACK'), "RFC3262-3 a PRACK with $_: 481");
	}
	my $tag = $d->{remote};
	(my $other = $tag) =~ s/tag=.*/tag=another/;
	$d->send('PRACK', headers => [['RAck', "$rseq $ci INVITE"]], remote => $other);
	ok(status($d, '481/PRACK'), 'RFC3262-3 another To tag: 481');
	cmp_ok($v->stat_of('pracks_unmatched'), '>=', 3, 'counted');
	is(acknowledged($d, $first), 200, 'RFC3262-3 the right one: 200');
	$d->resend('PRACK');
	ok(status($d, '200/PRACK'), 'RFC3261-17.2.2 its repeat the same answer');
	$d->send('PRACK', headers => [['RAck', "$rseq $ci INVITE"]]);
	ok(status($d, '481/PRACK'), 'RFC3262-3 another one for the same response: 481');
	my $second = status($d, 181);
	is($second ? $second->h('RSeq') : 0, $rseq + 1, 'RFC3262-3 then the next, RSeq plus one');
	forget($d);
	is(acknowledged($d, $second), 200, 'acknowledged');
	my $third = status($d, 183);
	is($third ? $third->h('RSeq') : 0, $rseq + 2, 'and the third');
	is(scalar(grep { $_->{status} != 183 } copies($d)), 0, 'those before are sent no more');
	$gw->reply($invite, 200, sdp => 1);
	ok(quiet($d, '200/INVITE', 0.3), 'RFC3262-3 the 200 waits while a description is not acknowledged');
	my ($leg) = @{ ($v->ctl('call', (grep { $_->{call_id} eq $d->{call_id} } @{ $v->ctl('calls') })[0]{id}) // {})->{legs} };
	is("$leg->{'100rel'} $leg->{rseq} $leg->{queued}", 'used ' . ($rseq + 2) . ' 1', 'veladorctl call shows what waits');
	$gw->reply($invite, 200, sdp => 1) for 1 .. 3;
	is(acknowledged($d, $third), 200, 'until its PRACK');
	works($d, $invite, answered => 1);
	is($v->wait_record_of($d->{call_id})->{caller_100rel}, 'used', 'the record says so');
}
# A 1xx without description may be overtaken; its PRACK is good all the same.
for my $final (200, 486) {
	my ($d, $invite) = invited();
	$gw->reply($invite, 180);
	my $ring = status($d, 180);
	$gw->reply($invite, 181);
	$gw->reply($invite, $final, $final == 200 ? (sdp => 1) : ());
	my $end = status($d, "$final/INVITE");
	ok($end, "RFC3262-3 $final overtakes a 180 without description");
	forget($d);
	ok(quiet($d, 180, 0.3), 'RFC3262-3 which is sent no more');
	is(acknowledged($d, $ring), 200, 'RFC3262-3 its PRACK, which crossed, is answered 200');
	is(acknowledged($d, $ring), 481, 'once');
	if ($final == 200) {
		$d->learn($end)->ack;
		$gw->want('ACK', call_id => $d->{call_id});
		ok($phone->hang_up($d, $gw->dialog_of($invite)), 'the call works');
	} else {
		$gw->want('ACK', call_id => $d->{call_id});
		$d->ack_failure($end);
	}
}
# A refusal goes at once, even where a description waits; so does the answer to a CANCEL.
{
	my ($d, $invite) = invited(user => '200');
	$gw->reply($invite, 183, sdp => 1, rseq => 9);
	my $ring = status($d, 183);
	$gw->reply($invite, 603);
	my $no = status($d, 603);
	ok($no, 'RFC3262-3 a refusal does not wait for the PRACK of a description');
	is(acknowledged($d, $ring), 200, 'RFC3262-3 whose PRACK is good');
	$d->ack_failure($no);
	$gw->want('ACK', call_id => $d->{call_id});
	($d, $invite) = invited(user => '200');
	$gw->reply($invite, 183, sdp => 1, rseq => 9);
	$ring = status($d, 183);
	$d->cancel;
	ok(status($d, '200/CANCEL'), 'RFC3261-9.2 CANCEL while a reliable 183 is open');
	$no = status($d, 487);
	ok($no, '487 to the INVITE');
	forget($d);
	is(acknowledged($d, $ring), 200, 'the PRACK that crossed');
	ok(quiet($d, 183, 0.2), 'and no more of it');
	$d->ack_failure($no);
	my $cancel = $gw->want('CANCEL', call_id => $d->{call_id});
	$gw->reply($cancel, 200);
	$gw->reply($invite, 487);
	$gw->want('ACK', call_id => $d->{call_id});
	is($v->wait_record_of($d->{call_id})->{reason}, 'canceled', 'one record');
}
# A caller who must, and one who cannot.
{
	my ($d, $invite) = invited(must => 1);
	$gw->reply($invite, 180);
	is((status($d, 180) // $invite)->h('Require'), '100rel', 'RFC3262-3 to one who requires it');
	$gw->reply($invite, 486);
	$gw->want('ACK', call_id => $d->{call_id});
	$d->ack_failure(status($d, 486));
	my $plain = $phone->dialog(user => '100');
	$plain->invite;
	$invite = $gw->want('INVITE', call_id => $plain->{call_id});
	$gw->reply($invite, 180);
	$gw->reply($invite, 183, sdp => 1);
	is(($phone->want($_, call_id => $plain->{call_id}) // $invite)->h('RSeq'), '', "the $_ goes plainly to one who cannot") for 180, 183;
	works($plain, $invite);
}
# More than the queue holds: from a gateway that waits for PRACK nothing is lost, from one that repeats itself the descriptions and the 200 are not.
{
	my ($d, $invite) = invited(user => '200');
	my ($next, @got) = (0);
	my $send = sub { $gw->reply($invite, 183, sdp => { version => $next + 1 }, rseq => 40 + $next) if $next < 12 };
	my %pracked;
	unshift @{ $gw->{auto} }, sub {
		my $m = shift;
		return 0 unless $m->is_request && $m->{method} eq 'PRACK' && $m->call_id eq $d->{call_id};
		$next++ if ($m->h('RAck') =~ /^(\d+)/)[0] == 40 + $next && !$pracked{ $m->h('RAck') }++;
		$send->();
		return 0;
	};
	$send->();
	Velador::wait_for(sub { Velador::Peer::pump(0.02); return $next >= 6 }, 2);
	is($next, 6, 'a gateway with twelve reliable descriptions: one is with the caller, five wait, the next is not acknowledged yet');
	my $tick = 0;
	while (@got < 12) {
		my $m = $phone->want(sub { ($_[0]{status} // 0) == 183 && $_[0]->call_id eq $d->{call_id} && (!@got || $_[0]->h('RSeq') > $got[-1]->h('RSeq')) }, timeout => 2) or last;
		push @got, $m;
		acknowledged($d, $m) == 200 or last;
		$send->();    # it sends again what we did not acknowledge
	}
	is(join(',', map { $_->{body} =~ /^o=- 4711 (\d+)/m } @got), join(',', 1 .. 12), 'he gets all twelve in order');
	cmp_ok($v->stat_of('reliable_postponed'), '>=', 1, 'counted');
	shift @{ $gw->{auto} };
	works($d, $invite);

	($d, $invite) = invited();
	$gw->reply($invite, 180, headers => [['X-Count', $_]]) for 1 .. 20;
	$gw->reply($invite, 183, sdp => 1);
	$gw->reply($invite, 200, sdp => 1);
	my (@seen, $ok);
	while (!$ok) {
		my $m = $phone->want(sub { ($_[0]{status} // 0) > 100 && $_[0]->call_id eq $d->{call_id} && ($_[0]{status} >= 200 || !@seen || $_[0]->h('RSeq') > $seen[-1]->h('RSeq')) }, timeout => 2) or last;
		if ($m->{status} < 200) { push @seen, $m; acknowledged($d, $m) } else { $ok = $m }
	}
	is($seen[-1]{status}, 183, 'twenty 180s and a 183: of those some, the 183 surely');
	ok($ok, 'and the 200 after it');
	$d->learn($ok)->ack;
	$gw->want('ACK', call_id => $d->{call_id});
	ok($phone->hang_up($d, $gw->dialog_of($invite)), 'the call works');
}
# The caller gives up while the 200 waits for his PRACK.
{
	my ($d, $invite) = invited();
	$gw->reply($invite, 183, sdp => 1);
	my $ring = status($d, 183);
	$gw->reply($invite, 200, sdp => 1);
	$d->cancel;
	ok(status($d, '200/CANCEL'), 'CANCEL while the 200 waits');
	my $no = status($d, '487/INVITE');
	ok($no, 'RFC3261-9.2 487, for he was not answered yet');
	$d->ack_failure($no) if $no;
	ok($gw->want('ACK', call_id => $d->{call_id}), 'RFC3261-13.2.2.4 the callee gets an ACK');
	my $bye = $gw->want('BYE', call_id => $d->{call_id});
	ok($bye, 'and BYE');
	$gw->reply($bye, 200) if $bye;
	is($v->wait_record_of($d->{call_id})->{reason}, 'canceled', 'one record');
}
# The callee answers and hangs up while the caller's PRACK is awaited.
{
	my ($d, $invite) = invited();
	$gw->reply($invite, 183, sdp => 1);
	my $ring = status($d, 183);
	$gw->reply($invite, 200, sdp => 1);
	my $b = $gw->dialog_of($invite);
	$b->bye;
	ok($gw->want('200/BYE', call_id => $d->{call_id}), 'BYE of a callee whose 200 still waits for the caller\'s PRACK');
	my $no = status($d, 480);
	ok($no, 'the caller gets 480');
	$d->ack_failure($no);
	my $bye = $gw->want('BYE', call_id => $d->{call_id});
	$gw->reply($bye, 481) if $bye;
	is($v->wait_record_of($d->{call_id})->{ended_by}, 'callee', 'one record');
}
# Every state of the two that were never acknowledged.
forget($_) for $mute, $mute2;
for ([$mute, $mute_invite, 'CANCEL'], [$mute2, $mute2_invite, 'BYE']) {
	my ($d, $invite, $what) = @$_;
	my $no = $phone->want(504, call_id => $d->{call_id}, timeout => 40);
	ok($no, 'RFC3262-3 no PRACK in 64*T1, at least 32 s: 504');
	my $took = Velador::now() - $begun;
	ok($took > 31 && $took < 36, sprintf 'after 32 s (%.1f)', $took);
	is($no->h('Reason'), 'SIP;cause=504;text="PRACK never came"', 'with a Reason') if $no;
	$d->ack_failure($no) if $no;
	my $end = $gw->want($what, call_id => $d->{call_id});
	ok($end, $what eq 'CANCEL' ? 'CANCEL to the gateway' : 'ACK and BYE to a callee who had answered');
	is($end->h('Reason'), 'SIP;cause=504;text="PRACK never came"', 'RFC3326-2 with the reason') if $end;
	$gw->reply($end, 200) if $end;
	if ($what eq 'CANCEL') { $gw->reply($invite, 487) }
	my $r = $v->wait_record_of($d->{call_id}, 10);
	is(join(' ', map { $_ // '-' } @$r{qw(ended_by reason sip_status)}), 'server prack_timeout 504', 'the record');
}
is($v->stat_of('prack_timeouts'), 2, 'counted');
$v->done_ok;
done_testing;
