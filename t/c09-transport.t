# SPDX-License-Identifier: GPL-2.0-or-later
# Addresses: where answers go, IPv6, messages that are steered to any worker.
use strict;
use warnings;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $carrier6 = Velador::Peer->new(name => 'carrier6', host => '::1');
my ($port, $port6) = (Velador::free_port(), Velador::free_port('::1'));
my $has6 = eval { IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0, Type => SOCK_DGRAM) };
my %six = $has6 ? ('gateway phones6' => { role => 'caller', source => '::1' }, 'gateway carrier6' => { role => 'callee', address => $carrier6->addr, prefix => 6 }) : ();
for my $workers (2, 4) {
	my $v = Velador->start(velador => { workers => $workers }, listen => { udp => ["127.0.0.1:$port", $has6 ? "[::1]:$port6" : ()] }, plan_of(carrier => $carrier->addr), %six);
	my $phone = Velador::Peer->new(name => 'phone', to => "127.0.0.1:$port");

	{
		my $other = Velador::Peer->new(name => 'the port in Via');
		my $options = sub { my $via = shift; $phone->send($phone->request('OPTIONS', "sip:127.0.0.1:$port", via => "SIP/2.0/UDP $via;branch=z9hG4bK" . Velador::Peer::unique())) };
		$options->($phone->addr . ';rport');
		my $ok = $phone->want('200/OPTIONS');
		like($ok ? $ok->h('Via') : '', qr/;rport=$phone->{port}\b/, 'RFC3581-4 rport is filled in');
		like($ok ? $ok->h('Via') : '', qr/;received=127\.0\.0\.1\b/, 'RFC3581-4 and received beside it');
		$options->($other->addr . ';rport');
		$ok = $phone->want('200/OPTIONS');
		ok($ok, 'RFC3581-4 with rport the answer goes to the source port');
		$options->($other->addr);
		$ok = $other->want('200/OPTIONS');
		ok($ok, 'RFC3261-18.2.2 without it to the port in Via');
		$options->('phone.example:' . $phone->{port});
		$ok = $phone->want('200/OPTIONS');
		like($ok ? $ok->h('Via') : '', qr/;received=127\.0\.0\.1\b/, 'RFC3261-18.2.1 a host name in Via: received is added');
		$options->('192.0.2.1:' . $phone->{port});
		$ok = $phone->want('200/OPTIONS');
		like($ok ? $ok->h('Via') : '', qr/;received=127\.0\.0\.1\b/, 'RFC3261-18.2.2 another address in Via: the answer goes to the source');
	}

	# The compact form and a header that stands late are steered by chance; any worker must do.
	for (1 .. 16) {
		my $id = "compact-$_-" . Velador::Peer::unique();
		my @long = map { ['X-Padding', 'x' x 200] } 1 .. 6;
		my $head = sub {
			my ($method, $cseq, $to, $uri, @more) = @_;
			my $via = "SIP/2.0/UDP " . $phone->addr . ';branch=z9hG4bK' . Velador::Peer::unique();
			return $_ % 2 ? Velador::Message::bytes("$method $uri SIP/2.0", [['v', $via], ['f', '<sip:a@' . $phone->addr . '>;tag=t'], ['t', $to], ['i', $id], ['CSeq', "$cseq $method"],
					['Max-Forwards', 70], ['m', '<sip:a@' . $phone->addr . '>'], @more, ['l', 0]])
				: Velador::Message::bytes("$method $uri SIP/2.0", [['Via', $via], @long, ['From', '<sip:a@' . $phone->addr . '>;tag=t'], ['To', $to], ['CSeq', "$cseq $method"],
					['Max-Forwards', 70], ['Contact', '<sip:a@' . $phone->addr . '>'], @more, ['Call-ID', $id], ['Content-Length', 0]]);
		};
		my $uri = "sip:100\@127.0.0.1:$port";
		$phone->send($head->('INVITE', 1, '<sip:100@x>', $uri));
		my $invite = $carrier->want('INVITE', call_id => $id) or last;
		$carrier->reply($invite, 200, sdp => 1);
		my $ok = $phone->want('200/INVITE', call_id => $id) or last;
		$phone->send($head->('ACK', 1, $ok->h('To'), $ok->contact_uri));
		my $ack = $carrier->want('ACK', call_id => $id) or last;
		$phone->send($head->('BYE', 2, $ok->h('To'), $ok->contact_uri));
		my $bye = $carrier->want('BYE', call_id => $id) or last;
		$carrier->reply($bye, 200);
		$phone->want('200/BYE', call_id => $id) or last;
	}
	is(scalar(@{ $v->wait_records(16) }), 16, "RFC3261-7.3.3 compact forms, and a Call-ID behind 1,200 bytes, with $workers workers");

	SKIP: {
		skip 'no IPv6 here', 6 unless $has6;
		my $phone6 = Velador::Peer->new(name => 'phone6', host => '::1', to => "[::1]:$port6");
		my ($a, $b) = $phone6->call($carrier6, user => '600');
		like($b->{invite}->h('Via'), qr{^SIP/2\.0/UDP \[::1\]:$port6;}, 'IPv6: Via');
		like($b->{invite}->h('Contact'), qr{\@\[::1\]:$port6}, 'and Contact');
		ok($phone6->hang_up($a, $b), 'a call over IPv6 works');
		is($v->wait_record_of($a->{call_id})->{caller_addr}, $phone6->addr, 'and its record names the address');
		($a, $b) = $phone->call($carrier6, user => '600');
		like($b->{invite}->h('Contact'), qr{\@\[::1\]:$port6}, 'IPv4 to IPv6: each leg has our address of its family');
		ok($phone->hang_up($a, $b), 'and the call works');
	}

	# One caller, one address and port: the Call-ID spreads the calls over the workers.
	{
		my $before = $v->ctl('status');
		my @calls;
		for (1 .. 30 * $workers) { # so many that no worker gets too few by bad luck
			my $d = $phone->dialog;
			$d->invite;
			my $invite = $carrier->want('INVITE', call_id => $d->{call_id}) or last;
			$carrier->reply($invite, 486);
			$carrier->want('ACK', call_id => $d->{call_id});
			my $busy = $phone->want(486, call_id => $d->{call_id}) or last;
			$d->ack_failure($busy);
			push @calls, $d;
		}
		is(scalar(@calls), 30 * $workers, 'many calls of one caller');
		my %busy;
		for my $p (grep { $_->{kind} eq 'worker' } @{ $before->{processes} }) {
			my @stat = split ' ', Velador::slurp("/proc/$p->{pid}/io") =~ s/.*rchar: (\d+).*/$1/sr;
			my ($switches) = Velador::slurp("/proc/$p->{pid}/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
			$busy{ $p->{index} } = $switches;
		}
		is(scalar(grep { $_ > 20 } values %busy), $workers, "keep all $workers workers busy") or diag(explain(\%busy));
	}
	$v->done_ok;
	$phone->close;
}
done_testing;
