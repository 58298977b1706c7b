# SPDX-License-Identifier: GPL-2.0-or-later
# Several phones behind a gateway, all of them ringing reliably at one caller: a line of RSeq for each To tag, early media from any, one call in the end.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $gw = Velador::Peer->new(name => 'gw');
my $v = Velador->start(plan_of(carrier => { address => $gw->addr, prefix => 1 }, plain => { address => $gw->addr, prefix => 2, '100rel' => 'off' }), reliable => { '100rel' => 'supported' },
	retransmit => { t1 => '100ms' });
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my @pracked;
$gw->auto(sub { my $m = shift; return $m->is_request && $m->{method} eq 'PRACK' && push(@pracked, $m) && $gw->reply($m, 200) });

sub invited {
	my $d = $phone->dialog(user => shift // '100');
	$d->invite(headers => [['Supported', '100rel'], ['Allow', 'INVITE, ACK, CANCEL, BYE, PRACK, UPDATE']]);
	return ($d, $gw->want('INVITE', call_id => $d->{call_id}) || BAIL_OUT('no INVITE'));
}
# The caller's end of the early dialog of a 1xx.
sub early { my ($d, $ring) = @_; return bless({ %$d, last => { %{ $d->{last} } } }, ref $d)->learn($ring) }
sub fresh {
	my ($d, $seen) = @_;
	return $phone->want(sub {
		my $m = shift;
		return ($m->{status} // 0) > 100 && $m->cseq_method eq 'INVITE' && $m->call_id eq $d->{call_id} && ($m->{status} >= 200 || !$seen->{ $m->to_tag . ' ' . $m->h('RSeq') }++);
	});
}
# CSeq numbers go on over all of them: gaps are legal in each.
sub prack { my ($d, $ring) = @_; my $e = early($d, $ring); $e->prack($ring, cseq => ++$d->{cseq}); return $phone->want('200/PRACK', call_id => $d->{call_id}) }
sub version { my $m = shift; return $m->{body} =~ /^o=- 4711 (\d+)/m ? $1 : 0 }
sub works {
	my ($d, $invite, $ok, $tag) = @_;
	$d->learn($ok)->ack;
	ok($gw->want('ACK', call_id => $d->{call_id}), 'the ACK');
	ok($phone->hang_up($d, $gw->dialog_of($invite, tag => $tag)), 'the call works');
	is($v->wait_record_of($d->{call_id})->{reason}, 'normal', 'one record');
	return;
}

{
	my ($d, $invite) = invited();
	my (%seen, %line, @order);
	for my $round (0, 1) {
		$gw->reply($invite, $round ? 183 : 180, rseq => 7 + $round, tag => $_, ($round ? (sdp => { version => ord }) : ())) for qw(a b c);
	}
	my $first = fresh($d, \%seen) or BAIL_OUT('nothing rings');
	$gw->reply($invite, 200, tag => 'b');
	ok($phone->never('200/INVITE', 0.2), 'RFC3262-3 the 200 of one waits for the descriptions of all');
	my $e = early($d, $first);
	$e->send('PRACK', cseq => ++$d->{cseq}, headers => [['RAck', $first->h('RSeq') . ' 1 INVITE']], remote => $first->h('To') =~ s/tag=.*/tag=b/r);
	ok($phone->want('481/PRACK'), 'RFC3262-3 the RSeq of one in the dialog of another: 481');
	my $ring = $first;
	while ($ring && $ring->{status} < 200) {
		push @{ $line{ $ring->to_tag } }, $ring->h('RSeq');
		push @order, $ring->to_tag . $ring->{status} . version($ring);
		prack($d, $ring) or last;
		$ring = fresh($d, \%seen);
	}
	is(join(' ', @order), 'a1800 b1800 c1800 a18397 b18398 c18399', 'RFC3262-3 one after the other, each in its early dialog, with its own early media');
	is(scalar(grep { $_->[1] == $_->[0] + 1 } values %line), 3, 'RFC3262-3 RSeq plus one in each');
	my %starts = map { $_->[0] => 1 } values %line;
	is(scalar(keys %starts), 3, 'each from a start of its own');
	is($ring ? $ring->to_tag . $ring->{body} : '', 'b', 'then the 200 of the one that answered, whose description he has');
	$gw->reply($invite, 200, tag => 'a', sdp => 1);
	my ($ack, $bye) = map { my $what = $_; $gw->want(sub { ($_[0]{method} // '') eq $what && $_[0]->to_tag eq 'a' }) } qw(ACK BYE);
	ok($ack && $bye, 'RFC3261-13.2.2.4 another one that answers: ACK and BYE');
	$gw->reply($bye, 200) if $bye;
	works($d, $invite, $ring, 'b');
}
# Two answer while one of them waits for a PRACK.
{
	my ($d, $invite) = invited();
	my %seen;
	$gw->reply($invite, 183, rseq => 7, tag => 'a', sdp => { version => 5 });
	my $ring = fresh($d, \%seen);
	$gw->reply($invite, 200, tag => 'a');
	$gw->reply($invite, 200, tag => 'b', sdp => 1);
	prack($d, $ring);
	my $ok = $phone->want('200/INVITE', call_id => $d->{call_id});
	is($ok ? $ok->to_tag : '', 'a', 'the first 200 is the call\'s');
	$gw->reply($invite, 200, tag => 'b', sdp => 1);
	my ($ack, $bye) = map { my $what = $_; $gw->want(sub { ($_[0]{method} // '') eq $what && $_[0]->to_tag eq 'b' }) } qw(ACK BYE);
	ok($ack && $bye, 'RFC3261-13.2.2.4 the other is hung up when it repeats its 200');
	$gw->reply($bye, 200) if $bye;
	works($d, $invite, $ok, 'a');
}
# The 200 of one crosses the PRACK for another.
{
	my ($d, $invite) = invited();
	my %seen;
	$gw->reply($invite, 180, rseq => 7, tag => 'a');
	my $ring = fresh($d, \%seen);
	$gw->reply($invite, 200, tag => 'b', sdp => 1);
	my $ok = $phone->want('200/INVITE', call_id => $d->{call_id});
	early($d, $ring)->prack($ring);
	ok($phone->want(sub { ($_[0]{status} // 0) >= 200 && $_[0]->cseq_method eq 'PRACK' && $_[0]->call_id eq $d->{call_id} }), 'the PRACK for another, which crosses a 200, is answered');
	$d->{cseq}++;
	works($d, $invite, $ok, 'b');
}
# More phones than we keep early dialogs for: eight are reliable towards the caller, the others' come plainly, and every one is acknowledged.
for my $user ('100', '200') {
	my ($d, $invite) = invited($user);
	@pracked = ();
	my ($seen, %got, %rseq) = ({});
	for my $i (1 .. 12) {
		$gw->reply($invite, 183, tag => "t$i", sdp => { version => $i, port => 40000 + 2 * $i }, ($user eq '100' ? (rseq => 7) : ()));
		my $ring = fresh($d, $seen) or last;
		$got{ $ring->to_tag } = version($ring);
		$rseq{ $ring->to_tag } = $ring->h('RSeq');
		prack($d, $ring) if $ring->h('RSeq');
	}
	is(join(' ', map { $got{"t$_"} // '-' } 1 .. 12), join(' ', 1 .. 12), 'of twelve phones with early media all are heard');
	is(join(' ', map { $_ =~ s/t//r } sort { $a cmp $b } grep { $rseq{$_} } keys %rseq), '1 2 3 4 5 6 7 8', 'eight of them reliably');
	if ($user eq '100') {
		is(join(' ', sort map { $_->to_tag } @pracked), join(' ', sort map { "t$_" } 1 .. 12), 'RFC3262-4 each is acknowledged once');
		my ($eleventh) = grep { $_->to_tag eq 't11' } @pracked;
		is(join(', ', map { $eleventh->h($_) } qw(RAck Route)) . ' ' . $eleventh->{uri}, '7 ' . $invite->cseq . ' INVITE,  ' . $gw->uri, 'RFC3262-7.2 with its RSeq, to its target') if $eleventh;
		@pracked = ();
		$gw->reply($invite, 183, tag => 't11', sdp => { version => 11 }, rseq => 7);
		ok($phone->never(183, 0.1) && !@pracked, 'RFC3262-4 a repeat is neither acknowledged nor heard again');
		$gw->reply($invite, 180, tag => 't11', rseq => 8);
		ok($phone->want(180, call_id => $d->{call_id}), 'the next of it is heard');
		is(join(' ', map { $_->h('RAck') } @pracked), '8 ' . $invite->cseq . ' INVITE', 'and acknowledged');
		is($v->stat_of('reliable_unplaced'), 5, 'counted');
	}
	my $tag = $user eq '100' ? 't11' : 't3';
	$gw->reply($invite, 200, tag => $tag, ($user eq '100' ? () : (sdp => { version => 3 })));
	my $ok = $phone->want('200/INVITE', call_id => $d->{call_id});
	is($ok ? $ok->to_tag : '', $tag, 'one of them answers');
	if ($user eq '100') {
		$d->learn($ok)->ack;
		$gw->want('ACK', call_id => $d->{call_id});
		my $ask = $gw->want('INVITE', call_id => $d->{call_id});
		ok($ask, 'RFC3264-8 the eleventh of them is asked once more what it says') or next;
		$gw->reply($ask, 200, sdp => { version => 11, port => 40022 });
		$gw->want('ACK', call_id => $d->{call_id});
		my $tell = $phone->want('INVITE', call_id => $d->{call_id});
		is($tell ? version($tell) : '', 11, 'and the caller told it');
		$phone->reply($tell, 200, sdp => 1) if $tell;
		$phone->want('ACK', call_id => $d->{call_id});
		ok($phone->hang_up($d, $gw->dialog_of($invite, tag => $tag)), 'the call works');
	} else {
		works($d, $invite, $ok, $tag);
	}
}
# CANCEL with several of them open and waiting.
{
	my ($d, $invite) = invited();
	$gw->reply($invite, 183, rseq => 7, tag => "t$_", sdp => 1) for 1 .. 5;
	$phone->want(183, call_id => $d->{call_id});
	$d->cancel;
	ok($phone->want('200/CANCEL', call_id => $d->{call_id}), 'CANCEL');
	my $no = $phone->want(487, call_id => $d->{call_id});
	ok($no, '487 goes at once');
	$d->ack_failure($no);
	my $cancel = $gw->want('CANCEL', call_id => $d->{call_id});
	$gw->reply($cancel, 200);
	$gw->reply($invite, 487);
	$gw->want('ACK', call_id => $d->{call_id});
	is($v->wait_record_of($d->{call_id})->{reason}, 'canceled', 'one record');
}
$v->done_ok;
done_testing;
