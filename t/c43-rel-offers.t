# SPDX-License-Identifier: GPL-2.0-or-later
# Offers and answers that cross between a leg with PRACK and a leg without: none is lost, none is made up, and no call ends for one.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $gw = Velador::Peer->new(name => 'gw');
my $v = Velador->start(
	plan_of(
		off     => { address => $gw->addr, prefix => 1, '100rel' => 'off', no_timer_action => 'hangup' },
		able    => { address => $gw->addr, prefix => 2, '100rel' => 'supported' },
		brief   => { address => $gw->addr, prefix => 3, '100rel' => 'supported', give_up => '400ms', invite_timeout => '5s' },
		through => { address => $gw->addr, prefix => 4, '100rel' => 'passthrough' }),
	reliable => { '100rel' => 'passthrough' }, retransmit => { t1 => '100ms' });    # beside another mode it acts as supported
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my ($d, $invite);
my $update = ['Allow', 'INVITE, ACK, CANCEL, BYE, PRACK, UPDATE'];
my $none = ['Allow', 'INVITE, ACK, CANCEL, BYE, PRACK'];

sub invited {
	my ($user, %o) = @_;
	$d = $phone->dialog(user => $user);
	$d->invite((exists $o{sdp} ? (sdp => $o{sdp}) : ()), headers => [($o{cannot} ? () : [$o{must} ? 'Require' : 'Supported', '100rel']), $o{allow} // $update]);
	return $invite = $gw->want('INVITE', call_id => $d->{call_id}) || BAIL_OUT('no INVITE');
}
sub up   { return $phone->want($_[0], call_id => $d->{call_id}) // BAIL_OUT("the caller waits for $_[0]") }
sub down { return $gw->want($_[0], call_id => $d->{call_id}) // BAIL_OUT("the gateway waits for $_[0]") }
sub version { my $m = shift; return $m && $m->{body} =~ /^o=- 4711 (\d+)/m ? $1 : 0 }
sub answers_prack { my $p = down('PRACK'); $gw->reply($p, 200); return $p }
sub prack { my ($ring, %o) = @_; $d->prack($ring, %o); return up('200/PRACK') }
# The ACK to the 200, as the gateway sees it.
sub ack { my ($ok, %o) = @_; $d->learn($ok)->ack(%o); return down('ACK') }
sub over {
	my $who = $gw->dialog_of($invite, @_);
	ok($phone->hang_up($d, $who), 'and the call works');
	is($v->wait_record_of($d->{call_id})->{reason}, 'normal', 'to its orderly end');
	return;
}
# Our re-INVITE that tells a side what it does not know yet.
sub told {
	my ($peer) = @_;
	my $m = $peer->want('INVITE', call_id => $d->{call_id}) or return;
	$peer->reply($m, 200, sdp => { version => 77 });
	$peer->want('ACK', call_id => $d->{call_id});
	return $m;
}
sub silent { my ($peer, $what) = @_; return !$peer->want($what, call_id => $d->{call_id}, timeout => 0.15, quiet => 1) }

# ---- An INVITE without offer.
{
	invited(200, sdp => 0);
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 11 });
	my $ring = up(183);
	is(version($ring), 11, 'RFC3262-5 INVITE without offer: the gateway\'s reliable 183 has it, and so has the caller\'s');
	ok(silent($gw, 'PRACK'), 'RFC3262-5 our PRACK waits for the answer');
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 11 });
	ok(silent($gw, 'PRACK'), 'whatever is repeated');
	prack($ring, sdp => { version => 12 });
	my $p = answers_prack();
	is(version($p), 12, 'RFC3262-5 and bears it');
	is($p->h('RAck'), '10 ' . $invite->cseq . ' INVITE', 'with the RAck of that 183');
	$gw->reply($invite, 200);
	my $ok = up('200/INVITE');
	is($ok->{body}, '', 'the 200 has none');
	is(ack($ok)->{body}, '', 'nor the ACK');
	over();
}
{
	invited(200, sdp => 0);
	$gw->reply($invite, 180, rseq => 10);
	answers_prack();
	is(up(180)->h('RSeq'), '', 'RFC3261-13.2.1 a reliable 180 without offer comes plainly: the first reliable one must have it');
	$gw->reply($invite, 183, rseq => 11, sdp => { version => 11 });
	my $ring = up(183);
	$gw->reply($invite, 180, rseq => 12);
	is(answers_prack()->h('RAck'), '12 ' . $invite->cseq . ' INVITE', 'a gateway that goes on before its PRACK');
	prack($ring, sdp => { version => 12 });
	my $p = answers_prack();
	is($p->h('RAck') . ' ' . version($p), '11 ' . $invite->cseq . ' INVITE 12', 'gets the answer with the right RAck');
	prack(up(180));
	$gw->reply($invite, 200, sdp => { version => 11 });
	my $ok = up('200/INVITE');
	is($ok->{body}, '', 'RFC3261-13.2.1 what the 200 repeats is left out');
	ack($ok);
	over();
}
for my $differs (0, 1) {
	invited(100, sdp => 0);
	$gw->reply($invite, 180);
	is(up(180)->h('RSeq'), '', 'a gateway without 100rel: its 180 comes plainly');
	$gw->reply($invite, 183, sdp => { version => 11 });
	my $ring = up(183);
	is($ring->h('Require') . version($ring), '100rel11', 'RFC3262-5 its 183 with an offer comes reliably');
	$gw->reply($invite, 180, headers => [['X-Second', 1]]);
	prack($ring, sdp => { version => 12 });
	my $second = up(180);
	is($second->h('Require'), '100rel', 'what rings after it, too');
	prack($second);
	$gw->reply($invite, 200, $differs ? (body => $gw->sdp(version => 11, port => 47000)) : (sdp => { version => 11 }));
	my $ok = up('200/INVITE');
	is($ok->{body}, '', 'the offer of the 200 is answered already: the caller gets none');
	is(version(ack($ok)), 12, 'RFC3261-13.2.1 and the gateway his answer in the ACK');
	if ($differs) {
		my $m = told($phone);
		like($m ? $m->{body} : '', qr/^m=audio 47000/m, 'RFC3264-8 where the 200 offers something else, he is told by re-INVITE');
	} else {
		ok(silent($phone, 'INVITE'), 'nothing more is told');
	}
	over();
}
{
	invited(100, sdp => 0);
	$gw->reply($invite, 183, sdp => { version => 11 });
	prack(up(183));    # no answer
	$gw->reply($invite, 200, sdp => { version => 11 });
	my $ok = up('200/INVITE');
	is(version($ok), 11, 'a caller whose PRACK had no answer gets the offer in the 200');
	is(version(ack($ok, sdp => { version => 12 })), 12, 'and his ACK answers');
	over();
	invited(100, sdp => 0, must => 1);
	$gw->reply($invite, 180);
	my $ring = up(180);
	is($ring->h('Require'), '100rel', 'RFC3262-3 one who requires it gets every 1xx reliably');
	prack($ring);
	$gw->reply($invite, 200, sdp => { version => 11 });
	$ok = up('200/INVITE');
	is(version($ok), 11, 'the offer in the 200');
	is(version(ack($ok, sdp => { version => 12 })), 12, 'its answer in the ACK');
	over();
	invited(200, sdp => 0, cannot => 1);
	$gw->reply($invite, 183, sdp => { version => 11 });
	is(up(183)->h('RSeq'), '', 'one who cannot');
	$gw->reply($invite, 200, sdp => { version => 11 });
	is(version(ack(up('200/INVITE'), sdp => { version => 12 })), 12, 'answers in his ACK, as ever');
	over();
}
# ---- A second offer in PRACK.
{
	invited(200);
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 21 }, headers => [$update]);
	answers_prack();
	$d->prack(up(183), sdp => { version => 22 });
	my $u = down('UPDATE');
	is(version($u), 22, 'RFC3311-5.1 a second offer in PRACK goes on as UPDATE');
	is($u->to_tag, $gw->{tags}{ $invite->call_id }, 'in that early dialog');
	$gw->reply($invite, 180, rseq => 11);
	answers_prack();
	$gw->reply($invite, 200);
	ok(silent($phone, sub { ($_[0]{status} // 0) >= 180 && $_[0]->call_id eq $d->{call_id} }), 'neither ringing nor answer overtake it');
	$gw->reply($u, 200, sdp => { version => 23 });
	is(version(up('200/PRACK')), 23, 'RFC3262-5 its answer comes in the 200 to PRACK');
	my $ok = up('200/INVITE');
	is($ok->{body}, '', 'then the 200, which waits for no ringing');
	ack($ok);
	over();
}
# It comes while our own PRACK is open: an UPDATE that overtook that would have the gateway refuse it (RFC 3261 §12.2.2).
{
	my $begin = sub {
		invited(shift);
		$gw->reply($invite, 183, rseq => 10, sdp => { version => 21 }, headers => [$update]);
		my $open = down('PRACK');
		$d->prack(up(183), sdp => { version => 22 });
		ok(silent($gw, 'UPDATE') && silent($phone, '200/PRACK'), 'RFC3262-5 a second offer in PRACK waits while ours is open');
		return $open;
	};
	my $p = $begin->(200);
	$d->resend('PRACK');
	$gw->reply($invite, 180, rseq => 11);
	my $next = down(sub { $_[0]->h('RAck') =~ /^11 / && $_[0]->call_id eq $d->{call_id} });
	$gw->reply($invite, 200);
	$gw->reply($p, 200);
	ok(silent($gw, 'UPDATE') && silent($phone, sub { ($_[0]{status} // 0) >= 180 && $_[0]->call_id eq $d->{call_id} }), 'while any is, and with it ringing and answer');
	$gw->reply($next, 200);
	my $u = down('UPDATE');
	is(version($u), 22, 'then it goes on as UPDATE');
	like($u->h('Session-Expires'), qr/^600;refresher=uac$/, 'RFC4028-7.4 which asks for a session timer, as every refresh does');
	$gw->reply($u, 422, headers => [['Min-SE', 2000]]);
	$u = down('UPDATE');
	is(version($u) . ' ' . ($u->h('Session-Expires') =~ /^(\d+)/)[0] . ' ' . $u->h('Min-SE'), '22 2000 2000', 'RFC4028-7.3 a 422 to it: once more with a longer interval');
	$gw->reply($u, 200, sdp => { version => 23 });
	is(version(up('200/PRACK')), 23, 'RFC3262-5 its answer comes in the 200 to PRACK');
	ack(up('200/INVITE'));
	over();

	$p = $begin->(300);
	$u = down('UPDATE');
	is(version($u), 22, 'where ours is never answered it goes on all the same');
	$gw->reply($u, 200, sdp => { version => 23 });
	is(version(up('200/PRACK')), 23, 'with its answer');
	$gw->reply($invite, 200);
	ack(up('200/INVITE'));
	over();

	$p = $begin->(200);
	$d->cancel;
	up('200/CANCEL');
	$d->ack_failure(up(487));
	$gw->reply(down('CANCEL'), 200);
	$gw->reply($invite, 487);
	down('ACK');
	$gw->reply($p, 200);
	is(up('200/PRACK')->{body}, '', 'RFC3262-3 a set-up that ends meanwhile: the PRACK that waited is answered');
	is($v->wait_record_of($d->{call_id})->{reason}, 'canceled', 'one record');
}
for (
	['refuses the UPDATE', 200, 488], ['does not answer it', 300, 0], ['takes no UPDATE', 200, undef], ['is not reliable', 100, undef],
) {
	my ($who, $user, $answer) = @$_;
	invited($user);
	my $rel = $user != 100;
	$gw->reply($invite, 183, body => $gw->sdp(version => 21) =~ s/\r\n\z//r, headers => [defined $answer ? $update : $none], $rel ? (rseq => 10) : ());
	answers_prack() if $rel;
	$d->prack(up(183), body => $phone->sdp(version => 22, port => 46000) . "m=video 46002 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n");
	if (defined $answer) {
		my $u = down('UPDATE');
		$gw->reply($u, $answer) if $answer;
	}
	my $ok = up('200/PRACK');
	is(version($ok), 21, "RFC3262-5 a second offer in PRACK, the gateway $who: answered with what it said before");
	is(join(',', $ok->{body} =~ /^m=(\w+ \d+)/mg), 'audio 40000,video 0', 'RFC3264-6 as many streams as offered, the new one refused');
	ok(silent($gw, 'UPDATE'), 'it is not asked') unless defined $answer;
	$gw->drain;
	$gw->reply($invite, 200, $rel ? () : (sdp => { version => 21 }));
	ack(up('200/INVITE'));
	my $m = told($gw);
	like($m ? $m->{body} : '', qr/^m=audio 46000/m, 'RFC3264-8 it is told after the ACK, by re-INVITE');
	over();
}
# ---- What the 200 says, on each leg.
{
	invited(100);
	$gw->reply($invite, 183, sdp => { version => 31 });
	prack(up(183));
	$gw->reply($invite, 200, sdp => { version => 32 });
	my $ok = up('200/INVITE');
	is($ok->{body}, '', 'RFC3262-5 described already: left out of the 200');
	ack($ok);
	ok(silent($phone, 'INVITE'), 'RFC3264-8 another o= version alone is not told');
	over();
	invited(100);
	$gw->reply($invite, 183, sdp => { version => 31 });
	prack(up(183));
	$gw->reply($invite, 200, sdp => { version => 31, port => 47002 });
	$ok = up('200/INVITE');
	is($ok->{body}, '', 'a 200 that says something else: left out');
	ack($ok);
	my $m = told($phone);
	like($m ? $m->{body} : '', qr/^m=audio 47002/m, 'and told after the ACK, even where a leg without timer has no_timer_action = hangup');
	over();
	invited(100);
	$gw->reply($invite, 183, body => 'isup', type => 'application/isup');
	prack(up(183));
	$gw->reply($invite, 200, sdp => { version => 33 });
	is(version(my $o = up('200/INVITE')), 33, 'a 183 with another body than a description leaves the 200 its own');
	ack($o);
	over();
	invited(200, cannot => 1);
	for my $tag (qw(a b)) {
		$gw->reply($invite, 183, rseq => 10, sdp => { version => $tag eq 'a' ? 41 : 42 }, tag => $tag);
		answers_prack();
		up(183);
	}
	$gw->reply($invite, 200, tag => 'a');
	is(version($o = up('200/INVITE')), 41, 'RFC3261-13.2.1 of two early dialogs, the 200 without description gets that of its own');
	ack($o);
	over(tag => 'a');
	invited(200);
	my %ring;
	for my $tag (qw(a b)) {
		$gw->reply($invite, 183, rseq => 10, sdp => { version => $tag eq 'a' ? 41 : 42 }, tag => $tag);
		answers_prack();
		prack($ring{$tag} = up(183)) if $tag eq 'a';
	}
	prack(up(183));
	$gw->reply($invite, 200, sdp => { version => 43 }, tag => 'c');
	is(version($o = up('200/INVITE')), 43, 'a 200 of a third keeps its own');
	ack($o);
	over(tag => 'c');
}
# ---- UPDATE in early dialogs.
{
	invited(200, cannot => 1);
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 51 }, headers => [$update]);
	answers_prack();
	up(183);
	my $b = $gw->dialog_of($invite);
	$b->send('UPDATE', sdp => { version => 52, port => 47004 });
	my $ok = $gw->want('200/UPDATE', call_id => $d->{call_id});
	is(version($ok), 1, 'RFC3311-5.1 the gateway\'s UPDATE, the caller cannot be reliable: answered with his description');
	ok(silent($phone, 'UPDATE'), 'he is not asked');
	$gw->reply($invite, 200);
	my $o = up('200/INVITE');
	is(version($o), 52, 'and gets the new one in the 200');
	ack($o);
	over(cseq => 7100);

	for my $can (1, 0) {
		invited(200, allow => $can ? $update : $none);
		$gw->reply($invite, 183, rseq => 10, sdp => { version => 51 }, headers => [$update]);
		answers_prack();
		prack(up(183));
		$b = $gw->dialog_of($invite);
		$b->send('UPDATE', sdp => { version => 52, port => 47004 });
		if ($can) {
			my $u = up('UPDATE');
			is(version($u), 52, 'RFC3311-5.1 a reliable caller who takes UPDATE gets it');
			$phone->reply($u, 200, sdp => { version => 53 });
		}
		is(version($gw->want('200/UPDATE', call_id => $d->{call_id})), $can ? 53 : 1, $can ? 'and answers' : 'RFC3311-5.1 one who takes none: answered for him');
		$gw->reply($invite, 200);
		ack(up('200/INVITE'));
		if ($can) {
			ok(silent($phone, 'INVITE'), 'and is told nothing more');
		} else {
			my $m = told($phone);
			like($m ? $m->{body} : '', qr/^m=audio 47004/m, 'and told after the ACK');
		}
		over(cseq => 7100);
	}
	invited(200);
	$gw->reply($invite, 180, rseq => 9);
	answers_prack();
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 51 }, headers => [$update]);
	answers_prack();
	$b = $gw->dialog_of($invite);
	$b->send('UPDATE', sdp => { version => 52, port => 47004 });
	is(version($gw->want('200/UPDATE', call_id => $d->{call_id})), 1, 'RFC3311-5.1 while the description before it still waits for its turn: answered for the caller');
	prack(up(180));
	my $ring = up(183);
	is(version($ring), 51, 'who gets that one first');
	prack($ring);
	$gw->reply($invite, 200);
	$o = up('200/INVITE');
	is($o->{body}, '', 'no description in the 200');
	ack($o);
	my $news = told($phone);
	like($news ? $news->{body} : '', qr/^m=audio 47004/m, 'and is told the newer one after the ACK');
	over(cseq => 7100);
	for my $rel (1, 0) {
		invited($rel ? 200 : 100);
		$gw->reply($invite, 183, sdp => { version => 51 }, headers => [$update], $rel ? (rseq => 10) : ());
		answers_prack() if $rel;
		prack(up(183));
		$d->send('UPDATE', sdp => { version => 54, port => 46004 });
		if ($rel) {
			my $u = down('UPDATE');
			is(version($u), 54, 'RFC3311-5.1 the caller\'s UPDATE to a reliable gateway that takes it');
			$gw->reply($u, 200, sdp => { version => 55 });
		}
		is(version(up('200/UPDATE')), $rel ? 55 : 51, $rel ? 'and its answer' : 'RFC3311-5.1 to one that cannot: answered with what it said');
		$gw->reply($invite, 200, $rel ? () : (sdp => { version => 51 }));
		ack(up('200/INVITE'));
		if (!$rel) {
			my $m = told($gw);
			like($m ? $m->{body} : '', qr/^m=audio 46004/m, 'and it is told after the ACK');
		}
		over();
	}
}
# ---- End to end nothing of this is ours.
{
	invited(400);
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 61 }, headers => [$update]);
	my $ring = up(183);
	is($ring->h('RSeq'), 10, 'passthrough on both: the RSeq is the gateway\'s');
	$d->prack($ring, sdp => { version => 62 });
	my $p = down('PRACK');
	is(version($p), 62, 'the offer in PRACK passes');
	$gw->reply($p, 200, sdp => { version => 63 });
	is(version(up('200/PRACK')), 63, 'and its answer');
	$gw->reply($invite, 200);
	ack(up('200/INVITE'));
	over();
	invited(400, sdp => 0);
	$gw->reply($invite, 183, rseq => 10, sdp => { version => 61 });
	$d->prack(up(183), sdp => { version => 62 });
	$gw->reply($p = down('PRACK'), 200);
	is(version($p), 62, 'so does the answer in PRACK');
	up('200/PRACK');
	$gw->reply($invite, 200);
	ack(up('200/INVITE'));
	over();
}
$v->done_ok;
# ---- Refreshes repeat what was agreed, in PRACK and UPDATE too.
{
	$v = Velador->start(plan_of(carrier => $gw->addr), reliable => { '100rel' => 'supported' }, session => { ttl => '1s', min_se => '1s' });
	my $late = Velador::Peer->new(name => 'late', to => $v->addr);
	my @timer = (['Supported', 'timer'], ['Session-Expires', '1;refresher=uac'], ['Require', 'timer']);
	for my $offerless (1, 0) {
		$d = $late->dialog;
		$d->invite(sdp => $offerless ? 0 : 1, headers => [['Supported', '100rel, timer'], $none]);
		$invite = $gw->want('INVITE', call_id => $d->{call_id});
		$gw->reply($invite, 183, rseq => 10, sdp => { version => 71 }, headers => [$update]);
		answers_prack() unless $offerless;
		$d->prack($late->want(183, call_id => $d->{call_id}), sdp => { version => 72 });
		if ($offerless) {
			answers_prack();
		} else {
			my $u = down('UPDATE');
			$gw->reply($u, 200, sdp => { version => 73 });
		}
		$late->want('200/PRACK', call_id => $d->{call_id});
		$gw->reply($invite, 200, headers => [@timer, $none]);
		my $ok = $late->want('200/INVITE', call_id => $d->{call_id});
		ack($ok);
		# Only one refresh is open at a time, on either leg first.
		my %re;
		Velador::wait_for(sub {
			for my $peer ($gw, $late) {
				my $m = $peer->want('INVITE', call_id => $d->{call_id}, timeout => 0.02, quiet => 1) or next;
				$re{ $peer->{name} } //= $m;
				$peer->reply($m, 200, sdp => 1, headers => [@timer, $none]);
				$peer->want('ACK', call_id => $d->{call_id});
			}
			return 2 == keys %re;
		}, 3, 'a refresh of each leg');
		my ($a, $b) = @re{qw(late gw)};
		is(version($b), 72, 'RFC3264-8 our refresh repeats to the gateway what the caller said in ' . ($offerless ? 'his PRACK' : 'the PRACK that went as UPDATE')) or BAIL_OUT('no refresh');
		cmp_ok($b->cseq, '>', $invite->cseq + ($offerless ? 1 : 2), 'RFC3261-12.2.1.1 with a number above PRACK and UPDATE');
		is(version($a), $offerless ? 71 : 73, 'and to the caller what the gateway said last');
		ok($late->hang_up($d, $gw->dialog_of($invite)), 'the call works');
	}
	$v->done_ok;
}
done_testing;
