# SPDX-License-Identifier: GPL-2.0-or-later
# Every session key, set for one gateway: it holds on the leg that goes there and on no other, whichever side of a call that is.
use strict;
use warnings;
use Test::More;
use Velador;
use Velador::Endpoint;

# Of each key: how it is set, what then happens to a leg, and when (seconds after the answer, least and most). The rest has an interval of an hour.
my @keys = (
	{ name => 'ttl',                  set => { ttl => '2s' },                                                                what => 'refresh', at => [0.9, 1.05] },
	{ name => 'update_segment',       set => { ttl => '3s', update_segment => 5 },                                           what => 'refresh', at => [0.54, 0.65] },
	{ name => 'refresh_schedule',     set => { ttl => '2s', update_segment => 4, refresh_schedule => 'tail', strict_schedule => 'yes' }, what => 'refresh', at => [1.35, 1.55] },
	{ name => 'strict_schedule = no', set => { ttl => '2s', update_segment => 4, refresh_schedule => 'tail', strict_schedule => 'no' },  what => 'refresh', at => [0.9, 1.05] },
	{ name => 'timeout_early_hangup', set => { ttl => '1s', timeout_early_hangup => '1s' }, dead => 1,                       what => 'BYE',     at => [1.95, 2.1] },
	{ name => 'no grace',             set => { ttl => '1s', timeout_early_hangup => 0 }, dead => 1,                          what => 'BYE',     at => [0.95, 1.1] },
	{ name => 'no_timer_interval',    set => { no_timer_interval => '1s' }, timer => 0,                                      what => 'refresh', at => [0.95, 1.1] },
	{ name => 'no_timer_action',      set => { no_timer_interval => '1s', no_timer_action => 'hangup' }, timer => 0,         what => 'BYE',     at => [0.95, 1.1] },
	{ name => 'max_call_duration',    set => { max_call_duration => '1s' },                                                  what => 'BYE',     at => [0.95, 1.1] },
	{ name => 'refresher',            set => { ttl => '2s', refresher => 'endpoint' }, dead => 1, take => 1,                 what => 'BYE',     at => [1.95, 2.1], refreshes => 0 },
);
my (%sections, @side);
my %plain = (ttl => '3600s', no_timer_interval => 0);
for my $i (0 .. $#keys) {
	my $k = $keys[$i];
	my $host = '127.0.1.' . ($i + 1);
	my $gw = Velador::Endpoint->new(name => "gw-$k->{name}");
	my $caller = Velador::Endpoint->new(name => "caller-$k->{name}", host => $host);
	$sections{"gateway gw$i"} = { role => 'callee', address => $gw->addr, prefix => "1$i", %plain, %{ $k->{set} } };
	$sections{"gateway caller$i"} = { role => 'caller', source => $host, %plain, %{ $k->{set} } };
	push @side, { key => $k, gw => $gw, caller => $caller, user => "1$i" };
}
my $phone = Velador::Endpoint->new(name => 'phone');
my $plain = Velador::Endpoint->new(name => 'plain');
my $v = Velador->start(%sections,
	'gateway phones' => { role => 'caller', source => '127.0.0.1' },
	'gateway plain'  => { role => 'callee', address => $plain->addr, prefix => '9' },
	session          => { %plain },
	retransmit       => { t1 => '10ms', t2 => '200ms' });
$_->{to} = $v->addr for $phone, map { $_->{caller} } @side;

# One call with the key on the callee's leg, one with it on the caller's.
for my $s (@side) {
	my $k = $s->{key};
	my $takes = $k->{take} ? { headers => [['Session-Expires', '2;refresher=uas'], ['Supported', 'timer'], $plain->allow({})] } : {};
	my @timer = (timer => $k->{timer} // 1);
	$s->{callee_call} = $phone->talk($s->{gw}, user => $s->{user}, callee => {@timer}, answer => $takes);
	$s->{caller_call} = $s->{caller}->talk($plain, user => '9', caller => {@timer}, interval => 3600);
	if ($k->{dead}) {
		$s->{gw}->on($s->{callee_call}, sub { 0 });
		$s->{caller}->on($s->{caller_call}, sub { 0 });
	}
}
Velador::Endpoint::live(sub { 0 }, 2.3);
for my $s (@side) {
	my $k = $s->{key};
	for (['callee', $s->{gw}, $phone, $s->{callee_call}], ['caller', $s->{caller}, $plain, $s->{caller_call}]) {
		my ($side, $peer, $other, $call) = @$_;
		my $seen = $k->{what} eq 'BYE' ? $peer->byes($call) : $peer->refreshes($call);
		my $at = @$seen ? $seen->[0]{time} - $call->{answered} : -1;
		ok($at >= $k->{at}[0] && $at <= $k->{at}[1], "$k->{name} on the $side\'s leg: $k->{what} in its time") or diag("after $at s");
		is(scalar(@{ $other->refreshes($call) }), 0, 'the other leg is left alone');
		is(scalar(@{ $peer->refreshes($call) }), $k->{refreshes}, 'the endpoint refreshes, not we') if defined $k->{refreshes};
		$k->{what} eq 'BYE' ? cmp_ok(scalar(@{ $other->byes($call) }), '>=', 1, 'but ends with it') : $call->{caller}->bye;
	}
}
# min_se, on both sides.
{
	my $strict = Velador::Endpoint->new(name => 'strict', host => '127.0.2.1', to => $v->addr);
	$v->change_ini('gateway strict' => { role => 'caller', source => '127.0.2.1', min_se => '500s' }, 'gateway plain' => { %{ $v->{ini}{'gateway plain'} }, min_se => '300s' });
	is(($v->ctl_raw('reload'))[0], 0, 'min_se of a caller and of a gateway');
	my $d = $strict->dialog(user => '9');
	$d->invite(headers => [['Supported', 'timer'], ['Session-Expires', '400']]);
	my $no = $strict->want('422/INVITE');
	is($no ? $no->h('Min-SE') : '', '500', 'RFC4028-9 the caller\'s own');
	$d->ack_failure($no) if $no;
	my $call = $phone->talk($plain, user => '9', interval => 400);
	is($call->{invite}->h('Min-SE'), '300', 'RFC4028-7.1 the gateway\'s, towards it alone');
	is($call->{ok}->h('Session-Expires'), '400;refresher=uas', 'another caller is not held to it');
	ok($phone->leave($call), 'clean end');
}
$v->done_ok;
done_testing;
