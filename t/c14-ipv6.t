# SPDX-License-Identifier: GPL-2.0-or-later
# Everything that depends on addresses once more over IPv6, and calls that cross from one family to the other. In a network namespace of its own, for
# there [::1] is sure to be.
use strict;
use warnings;
use Test::More;
use Velador qw(alone plan_of sipp sipp_ok wait_for);
use Velador::Peer;

alone();
my ($port, $port6, $dead) = (Velador::free_port(), Velador::free_port('::1'), Velador::free_port('::1'));
my %carrier = (4 => Velador::Peer->new(name => 'carrier4'), 6 => Velador::Peer->new(name => 'carrier6', host => '::1'));
my $uas_port = Velador::free_port('::1');
my $v = Velador->start(listen => { udp => ["[::1]:$port6", "127.0.0.1:$port"] },
	plan_of(carrier4 => { address => $carrier{4}->addr, prefix => 4 }, carrier6 => { address => $carrier{6}->addr, prefix => 6 },
		dead => { address => "[::1]:$dead", prefix => 5, priority => 1 }, next => { address => $carrier{6}->addr, prefix => 5, priority => 2 },
		sipp => { address => "[::1]:$uas_port", prefix => 7 }),
	'gateway phones6' => { role => 'caller', source => '::1' });
my %phone = (4 => Velador::Peer->new(name => 'phone4', to => "127.0.0.1:$port"), 6 => Velador::Peer->new(name => 'phone6', host => '::1', to => "[::1]:$port6"));
my %ours = (4 => "127.0.0.1:$port", 6 => "[::1]:$port6");

# A whole call with requests both ways, from one family to another.
for my $pair ([6, 6], [6, 4], [4, 6]) {
	my ($from, $to) = @$pair;
	my ($phone, $carrier) = ($phone{$from}, $carrier{$to});
	my ($a, $b) = $phone->call($carrier, user => "${to}00");
	my $title = "IPv$from to IPv$to";
	like($b->{invite}->h('Via'), qr{^SIP/2\.0/UDP \Q$ours{$to}\E;}, "$title: Via has our address of the gateway's family");
	like($b->{invite}->h('Contact'), qr{\@\Q$ours{$to}\E[;>]}, 'and so has Contact');
	like($b->{invite}{uri}, qr{\@\Q@{[$carrier->addr]}\E$}, 'the Request-URI names the gateway');
	like($a->{ok}->h('Contact'), qr{\@\Q$ours{$from}\E[;>]}, 'the caller is told that of his own');
	is($b->{invite}{body}, $phone->sdp, 'the description passes as it is');
	$a->send('INFO', body => 'x', type => 'text/plain');
	my $info = $carrier->want('INFO');
	ok($info, 'a request of the caller comes through') and $carrier->reply($info, 200);
	ok($phone->want('200/INFO'), 'and its answer');
	$b->bye;
	my $bye = $phone->want('BYE');
	ok($bye, 'the callee hangs up') and $phone->reply($bye, 200);
	ok($carrier->want('200/BYE'), 'and is answered');
	my $r = $v->wait_record_of($a->{call_id});
	is_deeply([@$r{qw(caller_addr callee_addr reason ended_by)}], [$phone->addr, $carrier->addr, 'normal', 'callee'], 'the record has both addresses');
	my ($e) = grep { $_->{address} eq $carrier->addr } @{ $v->ctl('endpoints') };
	cmp_ok(($e // {})->{samples} // 0, '>=', 1, 'RFC6298-2.2 the gateway is measured, under its address');
}

# Where answers go.
{
	my ($phone, $other) = ($phone{6}, Velador::Peer->new(name => 'the port in Via', host => '::1'));
	my $options = sub { $phone->send($phone->request('OPTIONS', "sip:[::1]:$port6", via => "SIP/2.0/UDP $_[0];branch=z9hG4bK" . Velador::Peer::unique())) };
	$options->($phone->addr . ';rport');
	my $ok = $phone->want('200/OPTIONS');
	like($ok->h('Via'), qr/;rport=$phone->{port}\b/, 'RFC3581-4 rport over IPv6');
	like($ok->h('Via'), qr/;received=::1(?:;|$)/, 'RFC5118-4.5 received without brackets');
	$options->($other->addr . ';rport');
	ok($phone->want('200/OPTIONS'), 'RFC3581-4 with rport the answer goes to the source port');
	$options->($other->addr);
	ok($other->want('200/OPTIONS'), 'RFC3261-18.2.2 without it to the port in Via');
	$options->("[2001:db8::1]:$phone->{port}");
	$ok = $phone->want('200/OPTIONS');
	like($ok ? $ok->h('Via') : '', qr/;received=::1(?:;|$)/, 'RFC3261-18.2.1 another address in Via: the answer goes to the source');
}

# Nobody listens: the next gateway at once. A stranger stays outside.
{
	my $began = Time::HiRes::time();
	my ($a, $b) = $phone{6}->call($carrier{6}, user => '500');
	cmp_ok($b->{invite}{time} - $began, '<', 0.4, 'RFC3261-18.4 an ICMPv6 answer sends the call to the next gateway');
	is_deeply($phone{6}->hang_up($a, $b) && $v->wait_record_of($a->{call_id})->{tried}, ['dead', 'next'], 'the record says so');
	system('ip', 'addr', 'add', 'fd00::9/128', 'dev', 'lo', 'nodad') == 0 or die "no second address\n";
	my $stranger = Velador::Peer->new(name => 'stranger', host => 'fd00::9', to => $phone{6}{to});
	my $d = $stranger->dialog(user => '600');
	$d->invite;
	ok($stranger->want(403), 'RFC3261-21.4.4 403 to an IPv6 source that is no configured caller');
}

# The resends of an INVITE, and loose routing.
{
	my $d = $phone{6}->dialog(user => '600');
	$d->invite;
	my @times = map { my $m = $carrier{6}->want('INVITE', call_id => $d->{call_id}); $m->{time} } 1 .. 3;
	cmp_ok(abs($times[1] - $times[0] - 0.5), '<=', 0.02, 'RFC3261-17.1.1.2 sent again after T1');
	cmp_ok(abs($times[2] - $times[1] - 1), '<=', 0.02, 'and after twice that');
	my $invite = $phone{6}->want(100) && $d->cancel && $phone{6}->want('200/CANCEL');
	my $final = $phone{6}->want(487);
	$d->ack_failure($final);
	my ($a, $b) = $phone{6}->call($carrier{6}, user => '600', answer => { headers => [['Record-Route', '<sip:' . $carrier{6}->addr . ';lr>']] });
	is($b->{ack}->h('Route'), '<sip:' . $carrier{6}->addr . ';lr>', 'RFC3261-12.2.1.1 a route set with IPv6 references');
	ok($phone{6}->hang_up($a, $b), 'is followed');
}

for (['uas-basic', 'uac-basic'], ['uas-cancel', 'uac-cancel'], ['uas-talks', 'uac-listens'], ['uas-listens', 'uac-talks']) {
	my ($callee, $caller) = @$_;
	my $uas = sipp(scenario => $callee, host => '::1', port => $uas_port, count => 3, args => ['-d', 100]);
	my $uac = sipp(scenario => $caller, host => '::1', to => "[::1]:$port6", count => 3, rate => 20, args => ['-d', 100, '-s', '700']);
	sipp_ok("$caller and $callee over IPv6", $uac, $uas) or $v->tell;
}
$v->done_ok;
done_testing;
