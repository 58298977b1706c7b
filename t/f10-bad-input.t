# SPDX-License-Identifier: GPL-2.0-or-later
# Hostile datagrams: each gets a right answer or a counted drop, the next call works, and memory does not grow.
# Runs in a network namespace with nothing but loopback.
use strict;
use warnings;
use Test::More;
use Velador qw(alone plan_of slurp);
use Velador::Peer;

alone();
my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $uri = 'sip:100@' . $v->addr;

sub with { my ($method, @headers) = @_; return $phone->request($method, $uri, headers => [@headers]) }
sub without { my ($name) = @_; return $phone->request('INVITE', $uri, body => $phone->sdp) =~ s/^$name:[^\r]*\r\n//mir }
my $via = 'SIP/2.0/UDP ' . $phone->addr . ';branch=z9hG4bKx';
my $huge = 'sip:' . ('x' x 60_000) . '@' . $v->addr;

# title, bytes, what must come of it: a status, or counters of which one must rise; what the reason phrase of an answer names.
my @cases = (
	['an empty datagram', '', [qw(keepalives malformed_dropped)]],
	['nothing but line ends', "\r\n\r\n", ['keepalives']],
	['64 kB of rubbish', 'x' x 65_000, [qw(malformed_dropped truncated)]],
	['64 kB of NUL', "\0" x 65_000, [qw(keepalives malformed_dropped)]],
	['a NUL in a header', with('INVITE', ['Subject', "a\0b"]), [400, 'malformed_dropped']],
	['a NUL in the start line', with('INVITE') =~ s/sip:100/sip:1\x000/r, [400, 'malformed_dropped']],
	(map { ["no $_", without($_), [400], qr/^Missing \Q$_\E$/] } qw(Call-ID From To CSeq)),
	['no Via', without('Via'), ['malformed_dropped']],
	['a Via that cannot be read', with('INVITE', ['Via', 'SIP/2.0 UDP']), ['malformed_dropped']],
	['an absurd Content-Length', with('INVITE', ['Content-Length', '99999999999999999999']), [400], qr/Content-Length/],
	['a Content-Length beyond the datagram', with('INVITE', ['Content-Length', '5000']), [400], qr/Content-Length/],
	['a negative Content-Length', with('INVITE', ['Content-Length', '-1']), [400], qr/Content-Length/],
	['a negative CSeq', with('INVITE', ['CSeq', '-1 INVITE']), [400], qr/CSeq/],
	['a CSeq beyond 2^31', with('INVITE', ['CSeq', '4294967296 INVITE']), [400], qr/CSeq/],
	['a CSeq of another method', with('INVITE', ['CSeq', '1 BYE']), [400], qr/CSeq/],
	['1,000 Vias', $phone->request('OPTIONS', 'sip:' . $v->addr, headers => [['Via', $phone->via], map { ['Via', "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK$_"] } 1 .. 999]), [400, 200, 'malformed_requests']],
	['10,000 headers', with('INVITE') =~ s/\r\n\r\n/"\r\n" . "a: \r\n" x 10_000 . "\r\n"/er, [400], qr/headers/],
	['a URI of 60 kB', $phone->request('INVITE', $huge, to => '<sip:a@b>'), [400, 404, 414, 513]],
	['SIP/7.0', with('OPTIONS') =~ s{SIP/2\.0\r}{SIP/7.0\r}r, [505]],
	['a response to nothing', "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP @{[$v->addr]};branch=z9hG4bKnothing\r\nFrom: <sip:a\@b>;tag=1\r\nTo: <sip:c\@d>;tag=2\r\nCall-ID: nothing\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
		[qw(stray_responses forged)]],
	['an ACK to nothing', with('ACK'), ['stray_acks']],
	['an in-dialog ACK to nothing', with('ACK', ['To', '<sip:a@b>;tag=x']), ['stray_acks']],
	['CANCEL to nothing', with('CANCEL'), [481]],
	['a BYE to nothing', with('BYE', ['To', '<sip:a@b>;tag=x']), [481]],
	['an unreadable response', "SIP/2.0 2000 OK\r\n\r\n", [qw(malformed_responses malformed_dropped)]],
	['a request line without an end', 'INVITE ' . ('sip:' x 1000), ['malformed_dropped']],
	['an unterminated quote', with('OPTIONS', ['From', '"abc <sip:a@b>;tag=1']), [400], qr/From/],
);

sub call_works {
	my $title = shift;
	my ($a, $b) = eval { $phone->call($carrier, ring => 0) };
	return ok($a && $phone->hang_up($a, $b), "$title; the next call works") || $v->tell;
}
# What of this reaches the carrier after all is a call like any other: it refuses, and the phone ACKs.
sub refuse_strays { $carrier->reply($_, 404) for grep { ($_->{method} // '') eq 'INVITE' } $carrier->drain; return }
$phone->auto(sub { my $m = shift; $phone->ack_refusal($m, $uri) if ($m->{status} // 0) >= 300 && $m->cseq_method eq 'INVITE'; return 0 });
sub resident_kb { my $kb = 0; $kb += (slurp("/proc/$_/status") =~ /^RssAnon:\s+(\d+)/m)[0] // 0 for pids(); return $kb }
sub pids { return map { $_->{pid} } @{ $v->ctl('status')->{processes} } }
sub settle { return Velador::wait_for(sub { Velador::Peer::pump(0); refuse_strays(); $phone->drain; return $v->stats->{calls} eq '0' }, 5) }

call_works('before all');
for (@cases) {
	my ($title, $bytes, $allowed, $names) = @$_;
	my $before = $v->stats;
	$phone->drain;
	$phone->send($bytes);
	my %status = map { $_ => 1 } grep { /^\d/ } @$allowed;
	my @counters = grep { !/^\d/ } @$allowed;
	my ($answer, $counted);
	Velador::wait_for(sub {
		Velador::Peer::pump(0.005);
		refuse_strays();
		$answer //= (grep { ($_->{status} // 0) >= 200 } @{ $phone->{inbox} })[0];
		return 1 if $answer;
		my $now = @counters ? $v->stats : {};
		($counted) = grep { ($now->{$_} // 0) > $before->{$_} } @counters;
		return $counted;
	}, 3, "an answer or a counter for $title");
	ok($answer ? $status{ $answer->{status} } : $counted, "$title: " . ($answer ? "$answer->{status} $answer->{reason}" : 'dropped, counted as ' . ($counted // 'nothing')));
	like($answer ? $answer->{reason} : '', $names, "$title: the reason phrase names it") if $names;
	call_works($title);
}

# The same INVITE a thousand times is one call.
{
	my $d = $phone->dialog;
	$d->invite;
	$d->resend('INVITE') for 1 .. 1000;
	my $invite = $carrier->want('INVITE', call_id => $d->{call_id});
	$carrier->reply($invite, 486);
	my $busy = $phone->want(486, call_id => $d->{call_id});
	$d->ack_failure($busy) if $busy;
	$carrier->want('ACK', call_id => $d->{call_id});
	is(scalar(grep { ($_->{method} // '') eq 'INVITE' && $_->call_id eq $d->{call_id} } $carrier->drain), 0, 'the same INVITE 1,000 times: the callee saw one');
	is(scalar(grep { $_->{call_id} eq $d->{call_id} } @{ $v->wait_records(scalar(@cases) + 2) }), 1, 'and it left one record');
	$phone->drain;
	call_works('after it');
}

# All of it again and again: no process grows, none dies, none was replaced.
settle();
my @pids = pids();
my ($memory, $in) = (resident_kb(), $v->stat_of('datagrams_in'));
for (1 .. 40) {
	$phone->send($_->[1]) for @cases;
	Velador::Peer::pump(0) for 1 .. 5;
	refuse_strays();
	$phone->drain;
}
ok($v->wait_stat(datagrams_in => $in + 40 * @cases * 0.9, 10) >= $in + 40 * @cases * 0.9, 'all cases forty times');
settle();
cmp_ok(resident_kb() - $memory, '<', 2048, 'memory does not grow');
is_deeply([pids()], \@pids, 'no process died');
is(scalar(grep { $_->{restarts} } @{ $v->ctl('status')->{processes} }), 0, 'or was replaced');
call_works('after all');
$v->done_ok;
done_testing;
