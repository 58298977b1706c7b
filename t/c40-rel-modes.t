# SPDX-License-Identifier: GPL-2.0-or-later
# reliable.100rel: the four modes on each of the two legs, against callers who cannot, can and must; what each leg gets of the other.
use strict;
use warnings;
use Test::More;
use Velador;
use Velador::Peer;

my @modes = qw(off passthrough supported required);
my $gw = Velador::Peer->new(name => 'gw');
my (%sections, %phone);
for my $i (0 .. 3) {
	$sections{"gateway from-$modes[$i]"} = { role => 'caller', source => '127.0.0.' . (2 + $i), '100rel' => $modes[$i] };
	$sections{"gateway to-$modes[$i]"} = { role => 'callee', address => $gw->addr, prefix => 1 + $i, ($i ? (Enable => undef, 'Enable 100rel' => $modes[$i]) : ('100rel' => 'off')) };
}
delete $_->{Enable} for values %sections;
# A number that starts with 7 goes to a gateway that must, then to one that need not; 8 to one that must and no other.
my $strict = Velador::Peer->new(name => 'strict');
$sections{'gateway strict'} = { role => 'callee', address => $strict->addr, prefix => '7 8', priority => 1, '100rel' => 'required' };
$sections{'gateway mild'} = { role => 'callee', address => $gw->addr, prefix => '7', priority => 2, '100rel' => 'supported' };
$sections{'gateway off'} = { role => 'callee', address => $strict->addr, prefix => '9', '100rel' => 'off' };
my $v = Velador->start(%sections);
$phone{ $modes[$_] } = Velador::Peer->new(name => "phone-$modes[$_]", host => '127.0.0.' . (2 + $_), to => $v->addr) for 0 .. 3;

my %says = (none => [], can => [['Supported', '100rel']], must => [['Require', '100rel']]);
sub tokens { my ($m, $name) = @_; return join(',', map { split /\s*,\s*/ } $m->all($name)) }
sub has { my ($m, $name, $token) = @_; return scalar grep { $_ eq $token } split /,/, tokens($m, $name) }
sub states {
	my $call_id = shift;
	my ($brief) = grep { $_->{call_id} eq $call_id } @{ $v->ctl('calls') };
	return join ' ', map { $_->{'100rel'} } @{ ($v->ctl('call', $brief->{id}) // {})->{legs} };
}

sub refused {
	my ($phone, $d, $status, $header, $title) = @_;
	my $no = $phone->want(sub { ($_[0]{status} // 0) >= 300 && $_[0]->call_id eq $d->{call_id} });
	is($no ? $no->{status} . ' ' . $no->h($header) : '', "$status 100rel", $title);
	like($no ? $no->h('Warning') : '', qr/^399 velador ".+"$/, 'and says why in a Warning');
	$d->ack_failure($no) if $no;
	return;
}

sub one {
	my ($a, $b, $caller) = @_;
	my ($phone, $through) = ($phone{$a}, $a eq 'passthrough' && $b eq 'passthrough');
	my $who = "$a|$b, a caller who $caller: ";
	my ($ai) = grep { $modes[$_] eq $b } 0 .. 3;
	my $d = $phone->dialog(user => (1 + $ai) . '00');
	$d->invite(headers => [@{ $says{$caller} }, ['Allow', 'INVITE, ACK, CANCEL, BYE, PRACK']]);
	return refused($phone, $d, 420, 'Unsupported', "RFC3261-8.2.2.3 ${who}420") if $a eq 'off' && $caller eq 'must';
	return refused($phone, $d, 421, 'Require', "RFC3262-3 ${who}421") if $a eq 'required' && $caller eq 'none';
	my $invite = $gw->want('INVITE', call_id => $d->{call_id}) or return fail("${who}the INVITE");
	my $ra = $a ne 'off' && $caller ne 'none';
	my $rb = $through ? $ra : $b ne 'off';
	my $asks = $through ? { none => ' ', can => '100rel ', must => ' 100rel' }->{$caller} : { off => ' ', required => ' 100rel' }->{$b} // '100rel ';
	is(join(' ', map { join ',', grep { $_ eq '100rel' } split /,/, tokens($invite, $_) } 'Supported', 'Require'), $asks, "RFC3262-4 ${who}what the gateway is asked");
	is(has($invite, 'Allow', 'PRACK') ? 1 : 0, $rb || $through ? 1 : 0, 'Allow lists PRACK where it is spoken');
	$gw->reply($invite, 183, sdp => 1, contact => 1, headers => [['Allow', 'INVITE, ACK, BYE' . ($rb ? ', PRACK' : '')]], $rb ? (rseq => 5000) : ());
	if ($rb && !$through) {
		my $prack = $gw->want('PRACK', call_id => $d->{call_id});
		is($prack ? $prack->h('RAck') : '', '5000 ' . $invite->cseq . ' INVITE', 'RFC3262-4 our PRACK at once') or return;
		$gw->reply($prack, 200);
	}
	my $ring = $phone->want(183, call_id => $d->{call_id}) or return fail("${who}the 183");
	is($ring->h('Require'), $ra ? '100rel' : '', 'RFC3262-3 the caller gets it reliably if he can and may');
	$through ? is($ring->h('RSeq'), $ra ? '5000' : '', 'with the gateway\'s RSeq') : isnt($ring->h('RSeq'), '5000', 'with an RSeq of ours or none');
	is(has($ring, 'Allow', 'PRACK') ? 1 : 0, $ra ? 1 : 0, 'Allow lists PRACK where we speak it');
	ok(length $ring->{body}, 'and the description');
	if ($ra) {
		$d->prack($ring);
		if ($through) {
			my $prack = $gw->want('PRACK', call_id => $d->{call_id});
			is($prack ? $prack->h('RAck') : '', '5000 ' . $invite->cseq . ' INVITE', 'the caller\'s PRACK passes');
			$gw->reply($prack, 200) if $prack;
		}
		ok($phone->want('200/PRACK', call_id => $d->{call_id}), 'RFC3262-3 his PRACK is answered');
	}
	is(states($d->{call_id}), $through ? 'passthrough passthrough' : ($ra ? 'used' : 'none') . ' ' . ($rb ? 'used' : 'none'), 'veladorctl call shows it');
	$gw->reply($invite, 200, $rb ? () : (sdp => 1));
	my $ok = $phone->want('200/INVITE', call_id => $d->{call_id}) or return fail("${who}the 200");
	is(length $ok->{body} ? 1 : 0, $ra ? 0 : 1, 'RFC3262-5 the 200 has the description where no PRACK agreed it') unless $through;
	is(join(',', map { tokens($ok, $_) =~ /100rel/ ? $_ : () } qw(Supported Require)), '', 'nothing of 100rel in it');
	$d->learn($ok)->ack;
	$gw->want('ACK', call_id => $d->{call_id});
	ok($phone->hang_up($d, $gw->dialog_of($invite)), 'and the call works');
	my $r = $v->wait_record_of($d->{call_id});
	is("$r->{caller_100rel} $r->{callee_100rel}", $through ? 'passthrough passthrough' : ($ra ? 'used' : 'none') . ' ' . ($rb ? 'used' : 'none'), 'the record, too');
	ok(!(grep { $_->is_request && $_->{method} eq 'PRACK' } $gw->drain), 'one PRACK and no more');
	return;
}
for my $a (@modes) {
	for my $b (@modes) { one($a, $b, $_) for qw(none can must) }
}

# A gateway that does not know what it must, and one that must have what it is not given.
for (
	[700, 420, 'Unsupported', 'mild'], [800, 420, 'Unsupported', undef], [900, 421, 'Require', undef],
) {
	my ($user, $status, $header, $next) = @$_;
	my $phone = $phone{supported};
	my $d = $phone->dialog(user => $user);
	$d->invite(headers => [['Supported', '100rel']]);
	my $invite = $strict->want('INVITE', call_id => $d->{call_id}) or next;
	$strict->reply($invite, $status, headers => [[$header, '100rel']]);
	ok($strict->want('ACK'), "the gateway refuses with $status");
	if ($next) {
		my $second = $gw->want('INVITE', call_id => $d->{call_id});
		ok($second, 'and the call goes to the next one') or next;
		$gw->reply($second, 486);
		$gw->want('ACK', call_id => $d->{call_id});
	}
	my $no = $phone->want(sub { ($_[0]{status} // 0) >= 300 });
	is($no->{status}, $next ? 486 : $status, $next ? 'whose answer he gets' : "the caller gets the $status");
	like($no->h('Warning'), qr/100rel/, 'with the reason') unless $next;
	is(tokens($no, $header), '', 'RFC3262-8 and not the header of the other leg');
	$d->ack_failure($no);
	is_deeply($v->wait_record_of($d->{call_id})->{tried}, ['strict', $next // ()], 'tried in order') if $user < 900;
}
# An INVITE without offer from one who cannot PRACK.
{
	my $phone = $phone{supported};
	my $d = $phone->dialog(user => '300');
	$d->invite(sdp => 0);
	my $invite = $gw->want('INVITE', call_id => $d->{call_id});
	unlike(tokens($invite, 'Supported') . tokens($invite, 'Require'), qr/100rel/, 'RFC3262-5 without offer, from a caller without PRACK: the gateway is not offered 100rel');
	$gw->reply($invite, 486);
	$gw->want('ACK', call_id => $d->{call_id});
	my $no = $phone->want(486);
	$d->ack_failure($no);
	$d = $phone->dialog(user => '700');
	$d->invite(sdp => 0);
	$invite = $gw->want('INVITE', call_id => $d->{call_id});
	ok($invite, 'one that requires it is passed over');
	$gw->reply($invite, 486);
	$gw->want('ACK', call_id => $d->{call_id});
	$d->ack_failure($phone->want(486));
	$d = $phone->dialog(user => '800');
	$d->invite(sdp => 0);
	$no = $phone->want(488);
	ok($no, 'and where there is no other: 488');
	like($no ? $no->h('Warning') : '', qr/100rel/, 'with the reason');
	$d->ack_failure($no) if $no;
	is($v->wait_record_of($d->{call_id})->{sip_status}, 488, 'in the record');
	ok(!(grep { $_->is_request && $_->{method} eq 'INVITE' } $strict->drain), 'it heard nothing');
}
$v->done_ok;
done_testing;
