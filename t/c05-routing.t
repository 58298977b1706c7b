# SPDX-License-Identifier: GPL-2.0-or-later
# Who may call, where calls go, and what is refused at the door.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

use constant MAX_CALLS => 64;    # the least that may be configured

my %peer = map { $_ => Velador::Peer->new(name => $_) } qw(long short heavy light small strips);
my $v = Velador->start(
	velador => { max_calls => MAX_CALLS },
	plan_of(
		long   => { address => $peer{long}->addr, prefix => '4930' },
		short  => { address => $peer{short}->addr, prefix => '49' },
		heavy  => { address => $peer{heavy}->addr, prefix => 7, weight => 3 },
		light  => { address => $peer{light}->addr, prefix => 7, weight => 1 },
		small  => { address => $peer{small}->addr, prefix => 8, max_calls => 1, priority => 1 },
		large  => { address => $peer{short}->addr, prefix => 8, priority => 2 },
		eats   => { address => $peer{long}->addr, prefix => 5, strip => 4, priority => 1 },
		takes  => { address => $peer{short}->addr, prefix => 5, priority => 2 },
		only   => { address => $peer{long}->addr, prefix => 6, strip => 3 },
		instead => { address => $peer{long}->addr, prefix => 9, strip => 31, add => '112' },
		strips => { address => "localhost:$peer{strips}{port}", prefix => '00', strip => 2, add => '+' },
	));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

# Calls and is refused; returns the final answer and the caller's end.
sub refused {
	my ($caller, $status, %o) = @_;
	my $d = $caller->dialog(%o);
	$d->invite(%{ $o{invite} // {} });
	my $final = $caller->want($status, call_id => $d->{call_id});
	$d->ack_failure($final) if $final;
	return ($final, $d);
}
# Calls; that gateway gets it and refuses. Returns its INVITE and the record.
sub goes_to {
	my ($peer, $number, $title) = @_;
	my $d = $phone->dialog(user => $number);
	$d->invite;
	my $invite = $peer->want('INVITE', call_id => $d->{call_id});
	ok($invite, $title) or return;
	$peer->reply($invite, 404);
	$peer->want('ACK', call_id => $d->{call_id});
	$d->ack_failure($phone->want(404, call_id => $d->{call_id}));
	return ($invite, $v->wait_record_of($d->{call_id}));
}

goes_to($peer{long}, '493012', 'the longest prefix wins');
goes_to($peer{short}, '491234', 'a shorter one takes the rest');
for (['00' . '1' x 505, '', 'a number of 507 digits'], ['0033123', ';x=' . 'y' x 2900, 'one with a long parameter']) {
	my ($number, $params, $what) = @$_;
	my $d = $phone->dialog(user => $number);
	$d->invite(uri => "$d->{target}$params");
	my $invite = $peer{strips}->want('INVITE', call_id => $d->{call_id});
	my $sent = '+' . substr $number, 2;
	ok($invite && $invite->{uri} eq "sip:$sent\@" . $peer{strips}->addr . $params, "$what is stripped and added to like any");
	$peer{strips}->reply($invite, 603) if $invite;
	my $final = $phone->want(603, call_id => $d->{call_id});
	$d->ack_failure($final) if $final;
	is($v->wait_record_of($d->{call_id})->{sent}, $sent, 'so says the record');
}
my ($long) = refused($phone, 414, user => '0033123', invite => { uri => 'sip:0033123@' . $v->addr . ';x=' . 'y' x 3000 });
ok($long, 'RFC3261-21.4.12 a URI longer than we can change is refused, not sent on as it was dialed');
my ($invite, $record) = goes_to($peer{strips}, '0033123', 'digits are stripped and added; a gateway may have a name');
like($invite->{uri}, qr/^sip:\+33123\@/, 'in the Request-URI');
is_deeply([@$record{qw(dialed sent)}], ['0033123', '+33123'], 'and the record has both');

# A number that a gateway's strip would leave nothing of.
for (['55551', 'long', '1'], ['5555', 'short', '5555'], ['999', 'long', '112']) {
	my ($number, $gateway, $sent) = @$_;
	my ($to, $r) = goes_to($peer{$gateway}, $number, "$number goes to a gateway that can have it");
	is($to ? $to->{uri} =~ s/\@.*//r : '', "sip:$sent", 'as it wants it');
	is($r->{sent}, $sent, 'so says the record') if $r;
}
{
	my ($final, $d) = refused($phone, 404, user => '666');
	ok($final, 'RFC3261-21.4.5 no gateway that would have anything left of it: 404');
	is(join(' ', map { $_ // '-' } @{ $v->wait_record_of($d->{call_id}) }{qw(reason callee_gateway)}), 'no_route -', 'and a record');
	is($v->stat_of('numbers_too_short'), 2, 'each counted');
	$phone->send($phone->request('MESSAGE', 'sip:666@' . $v->addr, body => 'hi', type => 'text/plain'));
	ok($phone->want('404/MESSAGE'), 'so outside of a call');
	ok($peer{long}->never(sub { 1 }, 0.05), 'the gateway hears nothing');
}
{
	my ($final, $d) = refused($phone, 404, user => '1234');
	ok($final, 'RFC3261-21.4.5 404: no gateway for that number');
	my $r = $v->wait_record_of($d->{call_id});
	is_deeply([@$r{qw(reason sip_status tried callee_gateway)}], ['no_route', 404, [], undef], 'and leaves a record');
}
{
	my $stranger = Velador::Peer->new(name => 'stranger', host => '127.0.0.9', to => $v->addr);
	my ($final, $d) = refused($stranger, 403, user => '491');
	ok($final, 'RFC3261-21.4.4 403: a source that is no configured caller');
	cmp_ok($v->wait_stat('unknown_source', 1), '>=', 1, 'and is counted');
	ok(!(grep { $_->{call_id} eq $d->{call_id} } @{ $v->records }), 'without a record');
}
{
	my %got = (heavy => 0, light => 0);
	for (1 .. 120) {
		my $d = $phone->dialog(user => '7000');
		$d->invite;
		my $taken;
		Velador::wait_for(sub { Velador::Peer::pump(0.01); ($taken) = grep { grep { $_->call_id eq $d->{call_id} } @{ $peer{$_}{inbox} } } qw(heavy light) }, 3) or last;
		$got{$taken}++;
		$peer{$taken}->reply($peer{$taken}->want('INVITE', call_id => $d->{call_id}), 404);
		$d->ack_failure($phone->want(404, call_id => $d->{call_id}));
		$peer{$taken}->want('ACK', call_id => $d->{call_id});
	}
	is($got{heavy} + $got{light}, 120, 'weights: all calls arrive');
	cmp_ok(abs($got{heavy} - 90), '<=', 25, "weights 3 : 1 give $got{heavy} : $got{light}");
}
{
	my ($a, $b) = $phone->call($peer{small}, user => '8000');
	my ($c, $d) = $phone->call($peer{short}, user => '8000');
	ok($d, 'max_calls of a gateway: the second call takes the next one');
	is((grep { $_->{name} eq 'small' } @{ $v->ctl('gateways') })[0]{calls}, 1, 'veladorctl gateways counts one');
	ok($phone->hang_up($a, $b) && $phone->hang_up($c, $d), 'both work');
	$v->wait_no_calls;
	my ($e, $f) = $phone->call($peer{small}, user => '8000');
	ok($f && $phone->hang_up($e, $f), 'then there is room again');
}
{
	$v->wait_no_calls;
	my @calls = map { [$phone->call($peer{long}, user => "49301$_")] } 1 .. MAX_CALLS;
	my ($final) = refused($phone, 503, user => '493017');
	ok($final, 'RFC3261-21.5.4 503: the table is full');
	like($final->h('Retry-After'), qr/^\d+/, 'with Retry-After') if $final;
	cmp_ok($v->stat_of('table_full'), '>=', 1, 'and counted');
	$phone->hang_up(@$_) for @calls;
	$v->wait_no_calls;
	goes_to($peer{long}, '493018', 'afterwards calls go through again');
}

for (['RFC3261-16.3 Max-Forwards 0', 483, [['Max-Forwards', 0]]], ['RFC3261-16.3 a Proxy-Require that we do not know', 420, [['Proxy-Require', 'nothing-like-it']]],
	['RFC3261-8.2.2.3 a Require that nobody knows', 420, [['Require', 'replaces, nothing-like-it']]]) {
	my ($title, $status, $headers) = @$_;
	my ($final) = refused($phone, $status, user => '491', invite => { headers => $headers });
	ok($final, "$title: $status");
	is($final->h('Unsupported'), 'nothing-like-it', 'RFC3261-20.40 Unsupported names it') if $final && $status == 420;
}
{
	my $d = $phone->dialog(user => '493019');
	$d->invite;
	$peer{long}->want('INVITE', call_id => $d->{call_id});
	my $first = $d->{last}{INVITE};
	$d->invite(cseq => $first->{cseq});
	my $final = $phone->want(482, call_id => $d->{call_id});
	ok($final, 'RFC3261-8.2.2.2 482: the same request came another way');
	$d->ack_failure($final) if $final;
	$d->{last}{INVITE} = $first;
	$d->cancel;
	ok($phone->want('200/CANCEL', call_id => $d->{call_id}), 'the first one lives on until it is cancelled');
	my $end = $phone->want(487, call_id => $d->{call_id});
	$d->ack_failure($end) if $end;
}
{
	my $bytes = $phone->request('OPTIONS', 'sip:' . $v->addr);
	$phone->send($bytes);
	my $ok = $phone->want('200/OPTIONS');
	ok($ok, 'RFC3261-11.2 OPTIONS to us is answered');
	like($ok->h('Allow'), qr/\bINVITE\b.*\bUPDATE\b/, 'with Allow') if $ok;
}
{
	$phone->send($phone->request('MESSAGE', 'sip:4930555@' . $v->addr, body => 'hi', type => 'text/plain'));
	my $m = $peer{long}->want('MESSAGE');
	ok($m, 'RFC3261-16 a MESSAGE outside of a call is relayed');
	if ($m) {
		is(scalar(() = $m->{raw} =~ /^Via:/mg), 2, 'RFC3261-16.6 as by a proxy: our Via on top of the caller\'s');
		$peer{long}->reply($m, 202);
		ok($phone->want('202/MESSAGE'), 'and its answer comes back');
	}
}
$v->done_ok;
done_testing;
