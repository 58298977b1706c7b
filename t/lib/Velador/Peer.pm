# SPDX-License-Identifier: GPL-2.0-or-later
package Velador::Peer;
# A SIP endpoint in the hand of a test, over UDP: sends any bytes, notes when each datagram came (by the kernel's clock), and keeps what nobody
# asked for yet. For what SIPp cannot send, or cannot time.
#
#	my $phone = Velador::Peer->new(to => $v->addr);
#	my $d = $phone->dialog(user => '100');
#	$d->invite; my $invite = $gateway->want('INVITE'); $gateway->reply($invite, 200, contact => 1); $phone->want(200); $d->ack;
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM SOL_SOCKET SO_RCVBUF);
use Time::HiRes ();
use Velador ();
use Velador::Dialog;
use Velador::Message;
use Test::More;

use constant { SIOCGSTAMP => 0x8906, DATAGRAM_MAX => 65536 };

my $serial = 0;
my @peers;    # all that live: one select serves them, so that waiting on one keeps the others' clocks right

sub new {
	my ($class, %o) = @_;
	my $self = bless { host => '127.0.0.1', name => 'peer', inbox => [], auto => [], %o }, $class;
	$self->{port} //= Velador::free_port($self->{host});
	$self->{socket} = IO::Socket::IP->new(LocalHost => $self->{host}, LocalPort => $self->{port}, Type => SOCK_DGRAM, Proto => 'udp')
		or die "$self->{host}:$self->{port}: $!\n";
	$self->{socket}->setsockopt(SOL_SOCKET, SO_RCVBUF, 4 << 20);
	$self->{socket}->blocking(0);
	my $stamp = pack 'x16';
	ioctl $self->{socket}, SIOCGSTAMP, $stamp;    # the first call only turns stamping on
	push @peers, $self;
	return $self;
}

sub close {
	my $self = shift;
	@peers = grep { $_ != $self } @peers;
	CORE::close($self->{socket});
	return;
}

sub addr { my $s = shift; return $s->{host} =~ /:/ ? "[$s->{host}]:$s->{port}" : "$s->{host}:$s->{port}" }
sub uri  { my $s = shift; return 'sip:' . ($s->{user} // $s->{name} =~ s/\W+/-/gr) . '@' . $s->addr }

sub send {
	my ($self, $bytes, $to) = @_;
	my ($host, $port) = ($to // $self->{to}) =~ /^\[?(.*?)\]?:(\d+)$/ or die "no address to send to\n";
	my $target = $self->{target}{"$host $port"} //= do {
		my ($err, $info) = Socket::getaddrinfo($host, $port, { socktype => SOCK_DGRAM, flags => Socket::AI_NUMERICHOST() });
		die "$host: $err\n" if $err;
		$info->{addr};
	};
	my $sent = CORE::send($self->{socket}, $bytes, 0, $target);
	return defined $sent;
}

sub _take {
	my $self = shift;
	while (1) {
		my $from = CORE::recv($self->{socket}, my $bytes, DATAGRAM_MAX, 0);
		return unless defined $from;
		my $stamp = pack 'x16';
		my $time = Time::HiRes::time();
		if (ioctl $self->{socket}, SIOCGSTAMP, $stamp) {
			my ($s, $us) = unpack 'q q', $stamp;
			$time = $s + $us / 1e6;
		}
		my ($err, $host, $port) = Socket::getnameinfo($from, Socket::NI_NUMERICHOST() | Socket::NI_NUMERICSERV());
		my $m = Velador::Message->parse($bytes, time => $time, from => ($host =~ /:/ ? "[$host]:$port" : "$host:$port"));
		if (!$m) {
			diag("$self->{name} got something unreadable: " . substr($bytes, 0, 80));
			next;
		}
		next if grep { $_->($m, $self) } @{ $self->{auto} };
		push @{ $self->{inbox} }, $m;
	}
}

# Reads whatever waits on any peer's socket; sleeps at most that long for the first.
sub pump {
	my $timeout_s = shift;
	my %of = map { fileno($_->{socket}) => $_ } @peers;
	my $select = IO::Select->new(map { $_->{socket} } @peers);
	$of{ fileno $_ }->_take for $select->can_read($timeout_s);
	return;
}

# What to do at once with each message that comes (sub of message and peer): true = done with, not kept.
sub auto { my ($self, $do) = @_; push @{ $self->{auto} }, $do; return $self }
sub auto_off { $_[0]{auto} = []; return }

sub _wanted {
	my ($what, %o) = @_;
	return $what if ref $what eq 'CODE';
	my $match = $what =~ /^\d+$/ ? sub { ($_[0]{status} // 0) == $what } : $what =~ /^(\d+)\/(\w+)$/
		? do { my ($s, $m) = ($1, $2); sub { ($_[0]{status} // 0) == $s && $_[0]->cseq_method eq $m } } : sub { ($_[0]{method} // '') eq $what };
	return $match unless defined $o{call_id};
	return sub { $match->($_[0]) && $_[0]->call_id eq $o{call_id} };
}

# The next message of a kind ('INVITE', 200, '200/BYE', or a condition), waiting for it. Others stay in the inbox. Options: timeout (s), call_id, quiet.
sub want {
	my ($self, $what, %o) = @_;
	my $match = _wanted($what, %o);
	my $end = Velador::now() + ($o{timeout} // 5);
	while (1) {
		for my $i (0 .. $#{ $self->{inbox} }) {
			return splice @{ $self->{inbox} }, $i, 1 if $match->($self->{inbox}[$i]);
		}
		my $left = $end - Velador::now();
		last if $left <= 0;
		pump($left);
	}
	if (!$o{quiet}) {
		my $has = join ', ', map { $_->name } @{ $self->{inbox} };
		diag("$self->{name} waited in vain for " . (ref $what ? 'a message' : $what) . '; it has: ' . ($has || 'nothing'));
	}
	return;
}

# Whether no such message comes within that time. What is meant to stay away needs a time to stay away for; keep it short.
sub never {
	my ($self, $what, $seconds) = @_;
	my $got = $self->want($what, timeout => $seconds, quiet => 1);
	diag("$self->{name} got " . $got->name) if $got;
	return !$got;
}

# Empties the inbox; returns what was there.
sub drain { my $self = shift; pump(0); my @all = @{ $self->{inbox} }; $self->{inbox} = []; return @all }

sub unique { return sprintf '%x%04x%s', $$, ++$serial, join '', map { ('a' .. 'z')[rand 26] } 1 .. 8 }

sub via { my ($self, %o) = @_; return 'SIP/2.0/UDP ' . $self->addr . ';rport;branch=z9hG4bK' . ($o{branch} // unique()) }

# The bytes of a request outside or inside of a dialog; headers => [[name, value] ...] come after the usual ones and replace their namesakes.
sub request {
	my ($self, $method, $uri, %o) = @_;
	my @h = (['Via', $o{via} // $self->via], ['Max-Forwards', 70], ['From', $o{from} // '<' . $self->uri . '>;tag=' . unique()], ['To', $o{to} // "<$uri>"],
		['Call-ID', $o{call_id} // unique() . '@test'], ['CSeq', ($o{cseq} // 1) . " $method"]);
	push @h, ['Contact', $o{contact} // '<' . $self->uri . '>'] if $method =~ /^(?:INVITE|UPDATE|SUBSCRIBE|REFER|NOTIFY)$/;
	push @h, ['Content-Type', $o{type} // 'application/sdp'] if length($o{body} // '');
	for my $more (@{ $o{headers} // [] }) {
		@h = grep { lc $_->[0] ne lc $more->[0] || $_->[2] } @h;
		push @h, [@$more, 1];
	}
	return Velador::Message::bytes("$method $uri SIP/2.0", \@h, $o{body});
}

# Answers a request. Options: tag (To tag; made up and kept by Call-ID where the request has none; '' for none), contact => 1 or a value, sdp => 1 or {options},
# body, type, headers, reason, rseq (of a reliable provisional response).
sub reply {
	my ($self, $request, $status, %o) = @_;
	my %phrase = (100 => 'Trying', 180 => 'Ringing', 181 => 'Call Is Being Forwarded', 183 => 'Session Progress', 200 => 'OK', 202 => 'Accepted', 302 => 'Moved Temporarily',
		404 => 'Not Found', 408 => 'Request Timeout', 480 => 'Temporarily Unavailable', 481 => 'Call/Transaction Does Not Exist', 486 => 'Busy Here', 487 => 'Request Terminated',
		491 => 'Request Pending', 500 => 'Server Internal Error', 503 => 'Service Unavailable', 603 => 'Decline');
	my $to = $request->h('To');
	if ($to !~ /;\s*tag=/ && $status > 100) {
		my $tag = $o{tag} // ($self->{tags}{ $request->call_id } //= unique());
		$to .= ";tag=$tag" if length $tag;
	}
	my @h = ((map { ['Via', $_] } $request->all('Via')), (map { ['Record-Route', $_] } $request->all('Record-Route')), ['From', $request->h('From')], ['To', $to],
		['Call-ID', $request->call_id], ['CSeq', $request->h('CSeq')]);
	my $contact = $o{contact} // ($request->{method} =~ /^(?:INVITE|UPDATE)$/ && $status > 100 && $status < 300);
	push @h, ['Require', '100rel'], ['RSeq', $o{rseq}] if $o{rseq};
	push @h, ['Contact', $contact eq '1' ? '<' . $self->uri . '>' : $contact] if $contact;
	push @h, @{ $o{headers} // [] };
	my $body = $o{body} // ($o{sdp} ? $self->sdp(ref $o{sdp} ? %{ $o{sdp} } : ()) : '');
	push @h, ['Content-Type', $o{type} // 'application/sdp'] if length $body;
	return $self->send(Velador::Message::bytes("SIP/2.0 $status " . ($o{reason} // $phrase{$status} // 'Whatever'), \@h, $body), $request->{from});
}

# ACKs a refusal of any INVITE of this peer's, from nothing but the response (RFC 3261 §17.1.1.3).
sub ack_refusal {
	my ($self, $response, $uri) = @_;
	return $self->send(Velador::Message::bytes('ACK ' . ($uri // "sip:$self->{to}") . ' SIP/2.0', [['Via', $response->h('Via')], ['Max-Forwards', 70], ['From', $response->h('From')],
		['To', $response->h('To')], ['Call-ID', $response->call_id], ['CSeq', $response->cseq . ' ACK']]));
}

sub sdp {
	my ($self, %o) = @_;
	my $v = $self->{host} =~ /:/ ? 'IP6' : 'IP4';
	return join "\r\n", 'v=0', "o=- 4711 " . ($o{version} // 1) . " IN $v $self->{host}", 's=-', "c=IN $v $self->{host}", 't=0 0', 'm=audio ' . ($o{port} // 40000) . ' RTP/AVP 0',
		'a=rtpmap:0 PCMU/8000', ($o{extra} ? $o{extra} : ()), '';
}

# A whole call up to the ACK: from this peer to the gateway's peer. Returns both ends (Velador::Dialog); dies where it does not come about.
# Options: user, invite => {...}, ring => 0, answer => {...} (reply options of the 200), as well as those of dialog().
sub call {
	my ($self, $gateway, %o) = @_;
	my ($more, $answer) = (delete $o{invite} // {}, delete $o{answer} // {});
	my $ring = delete $o{ring} // 1;
	my $caller = $self->dialog(%o);
	$caller->invite(%$more);
	my $invite = $gateway->want('INVITE', call_id => $caller->{call_id}) or die "no INVITE came through\n";
	my $callee = $gateway->dialog_of($invite);
	$gateway->reply($invite, 180, contact => 1) if $ring;
	$gateway->reply($invite, 200, sdp => 1, %$answer);
	my $ok = $self->want('200/INVITE', call_id => $caller->{call_id}) or die "no 200 came back\n";
	$caller->learn($ok);
	$caller->ack;
	my $ack = $gateway->want('ACK', call_id => $caller->{call_id}) or die "no ACK came through\n";
	@$callee{qw(invite ack)} = ($invite, $ack);
	$caller->{ok} = $ok;
	return ($caller, $callee);
}

# Ends such a call by a BYE from this end; true when both ends are done.
sub hang_up {
	my ($self, $mine, $other) = @_;
	$mine->bye;
	my $bye = $other->{peer}->want('BYE', call_id => $other->{call_id}) or return;
	$other->{peer}->reply($bye, 200);
	return $self->want('200/BYE', call_id => $mine->{call_id});
}

# A dialog that this peer begins / that a received INVITE begins.
sub dialog { my ($self, %o) = @_; return Velador::Dialog->caller($self, %o) }
sub dialog_of { my ($self, $invite, %o) = @_; return Velador::Dialog->callee($self, $invite, %o) }

1;
