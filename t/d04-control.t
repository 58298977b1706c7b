# SPDX-License-Identifier: GPL-2.0-or-later
# veladorctl: every command in both forms, errors in one line, lists longer than a socket's buffer, clients that misbehave.
use strict;
use warnings;
use IO::Socket::UNIX;
use Test::More;
use Velador qw(now plan_of sipp slurp wait_for);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $port = Velador::free_port();
my $v = Velador->start(velador => { max_calls => 3000 }, plan_of(carrier => { address => $carrier->addr, prefix => 1 }, many => { address => "127.0.0.1:$port", prefix => 2 }));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $socket = $v->dir . '/control.sock';

for my $command (qw(status calls gateways endpoints stats check quarantine events)) {
	my ($status, $out, $err) = $v->ctl_raw($command);
	is("$status $err", '0 ', "$command");
	ok(defined $v->ctl($command), "$command --json");
}
like(($v->ctl_raw('stats'))[1], qr/^datagrams_in +\d+ +datagrams received\n.*^calls +0\n/ms, 'stats says what each counter counts');
is_deeply([map { $v->ctl($_) } qw(calls quarantine events)], [[], [], []], 'nothing to list: empty lists');
is_deeply([sort map { $_->{name} } @{ $v->ctl('gateways') }], [qw(carrier many phones)], 'gateways');
is_deeply([sort keys %{ $v->ctl('gateways')->[0] }], [qw(address available calls name role since until why)], 'and their members');
my $stats = $v->stats;
is((scalar grep { !defined $stats->{$_} } qw(calls calls_max objects heap_used_bytes heap_bytes bytes_per_call uptime_s workers datagrams_in)), 0, 'stats has what it must');
is((scalar grep { ref || !/^\d+$/ } values %$stats), 0, 'and is flat, all numbers');

for (['nonsense'], ['call'], ['call', 'x'], ['call', '1.1'], ['call', 'ffffffff.1'], ['hangup'], ['hangup', '0.1'], ['status', 'x']) {
	my ($status, $out, $err) = $v->ctl_raw(@$_);
	is($status, 1, "@$_: 1");
	is($out, '', 'nothing on stdout');
	like($err, qr/\Aveladorctl: [^\n]+\n\z/, 'one line on stderr') or diag($err);
}
is(($v->ctl_raw())[0], 2, 'no command is wrong usage');
is(($v->ctl_raw('call', 'a', 'b'))[0], 2, 'so are too many words');

my ($a, $b) = $phone->call($carrier, user => '100');
my $call = $v->ctl('calls')->[0];
is($call->{call_id}, $a->{call_id}, 'calls lists the call');
is(($v->ctl('call', $call->{id}) // {})->{call_id}, $a->{call_id}, 'call ID tells all of it');
is_deeply([sort keys %$call], [qw(age_s call_id callee_gateway caller_gateway from id state to)], 'calls: the members of the contract');
my $whole = $v->ctl('call', $call->{id});
is_deeply([map { $_->{side} } @{ $whole->{legs} }], [qw(caller callee)], 'call ID: both legs');
is_deeply([map { my $leg = $_; grep { !exists $leg->{$_} } qw(timer refresher interval_s method next_action next_in_s cseq) } @{ $whole->{legs} }], [], 'each with what the contract names');
like(($v->ctl_raw('call', $call->{id}))[1], qr/\Q$a->{call_id}\E/, 'in the text form too');
is_deeply([sort keys %{ $v->ctl('status') }], [qw(calls processes uptime_s version)], 'status: its members');
is_deeply([sort keys %{ $v->ctl('status')->{processes}[0] }], [qw(index kind pid restarts state)], 'and those of a process');
$a->send('INFO', body => 'x', type => 'text/plain');
$carrier->reply($carrier->want('INFO'), 200);
$phone->want('200/INFO');
my ($endpoint) = grep { $_->{address} eq $carrier->addr } @{ $v->ctl('endpoints') };
is_deeply([sort keys %{ $endpoint // {} }], [qw(address rttvar_ms samples srtt_ms t1_ms)], 'endpoints: its members');
like(($v->ctl_raw('endpoints'))[1], qr/\Q@{[$carrier->addr]}\E/, 'in the text form too');
like(($v->ctl_raw('calls'))[1], qr/^id\s+call_id\s+state.*\n\Q$call->{id}\E\s+\Q$a->{call_id}\E/, 'the text form is a table');
ok(defined $v->ctl('hangup', $call->{id}), 'hangup ID --json');
for ($phone, $carrier) {
	my $bye = $_->want('BYE');
	ok($bye, 'both sides get BYE');
	$_->reply($bye, 200) if $bye;
}
is($v->wait_record_of($a->{call_id})->{reason}, 'admin', 'the record names the reason');

# More calls than a chunk or a socket's buffer holds.
my $uas = sipp(scenario => 'uas-basic', port => $port, count => 1500, timeout => 60);
my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => 1500, rate => 300, timeout => 60, args => ['-d', 20000, '-s', '200', '-l', 10000]);
ok(wait_for(sub { $v->stat_of('calls') >= 1400 }, 30, '1,400 calls'), '1,400 calls at once');
my $calls = $v->ctl('calls');
cmp_ok(scalar(@$calls), '>=', 1400, 'calls lists ' . @$calls);
my %seen;
$seen{ $_->{id} }++ for @$calls;
is(scalar(keys %seen), scalar(@$calls), 'each once');

# Clients that send no request, too long a one, or do not read their answer.
sub connect_to { return IO::Socket::UNIX->new(Peer => $socket) // die "$socket: $!\n" }
my @idle = map { connect_to() } 1 .. 20;
my $lazy = connect_to();
syswrite $lazy, "calls\n";
my $long = connect_to();
syswrite $long, 'x' x 1000;
is(sysread($long, my $got, 100) || 0, 0, 'too long a request: the connection is closed');
ok($v->ctl('status'), 'control answers others meanwhile');
my $heap = $v->stat_of('heap_used_bytes');
close $_ for @idle;
my ($all, $n) = ('', 0);
$all .= $got while ($n = sysread $lazy, $got, 65536);
like($all, qr/\Aok\n\[\{.*\}\]\n\z/s, 'who reads late gets all of it');
ok($v->ctl('status'), 'and control goes on');
is((grep { $_->{kind} eq 'control' } @{ $v->ctl('status')->{processes} })[0]{restarts}, 0, 'it never died');
my $half = connect_to();
syswrite $half, "check\n";
shutdown $half, 1;
$all = '';
$all .= $got while sysread $half, $got, 65536;
like($all, qr/\Aok\n\{"problems":.*\}\n\z/s, 'who has said all and listens gets its answer');

# More connections than there are places: they wait, and go on when others leave.
my @many = map { connect_to() } 1 .. 60;
close $_ for splice @many;
ok($v->ctl('status'), '60 connections that came and went: control answers');
@many = map { connect_to() } 1 .. 40;
my $began = now();
ok($v->ctl('status'), '40 that stay and say nothing: it answers');
cmp_ok(now() - $began, '<=', 10, sprintf 'after %.1f s: who does not ask loses its place', now() - $began);
is(sysread($many[0], $got, 100) // 'open', 0, 'as the first of them has');
close $_ for @many;
is((grep { $_->{kind} eq 'control' } @{ $v->ctl('status')->{processes} })[0]{restarts}, 0, 'it never died');

for my $command ('reload') {
	my ($status, $out, $err) = $v->ctl_raw($command);
	is("$status $err", '0 ', $command);
	ok(defined $v->ctl($command), "$command --json");
}
done_testing;
