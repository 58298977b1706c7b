# SPDX-License-Identifier: GPL-2.0-or-later
# When refreshes are sent: at every segment of the interval, or at its tail; up to a tenth earlier. By the kernel's clock on each packet.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;

use constant { TTL => 4, LATE => 0.05 };

my $gw = Velador::Endpoint->new(name => 'gw');
my %segments = map { my $n = $_; ("seg$n" => { prefix => "1$n", update_segment => $n, address => $gw->addr, refresh_schedule => 'segments' }) } 2, 3, 5, 8, 10;
my %tail = map { my $n = $_; ("tail$n" => { prefix => "2$n", update_segment => $n, address => $gw->addr, refresh_schedule => 'tail' }) } 2, 4, 6, 10;
my $v = Velador->start(plan_of(%segments, %tail), session => { ttl => TTL . 's', strict_schedule => 'yes', no_timer_interval => 0 });
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr, timer => 0);

sub call { my $user = shift; return $phone->talk($gw, user => $user) }

# The waits from one answer to the next refresh.
sub waits {
	my ($call, $n) = @_;
	Velador::Endpoint::live(sub { @{ $gw->refreshes($call) } >= $n }, TTL * $n + 2, "refresh $n");
	my @at = ($call->{answered}, map { $_->{time} } @{ $gw->refreshes($call) });
	return map { $at[$_] - $at[ $_ - 1 ] } 1 .. ($n < $#at ? $n : $#at);
}

sub in_time {
	my ($title, $want, @waits) = @_;
	my @bad = grep { $_ < 0.9 * $want - LATE || $_ > $want + LATE } @waits;
	ok(@waits && !@bad, sprintf('%s: %.3f s after the last', $title, $want)) or diag("@waits");
	return;
}

my %call = map { $_ => [map { call($_) } $_, $_] } map({ "1$_" } 2, 3, 5, 8, 10), map { "2$_" } 2, 4, 6, 10;
# Nobody answers these: the attempts of one interval. 491 keeps resends out of the picture; 503 is an answer that lets the session run on.
my %refused = map { my $c = call("1$_"); $gw->on($c, sub { 503 }); ($_ => $c) } 3, 5, 10;
for my $n (2, 3, 5, 8, 10) {
	my @waits = map { waits($_, $n > 3 ? 6 : 2) } @{ $call{"1$n"} };
	in_time("segments, $n", TTL / $n, @waits);
}
for my $n (2, 4, 6, 10) {
	my @waits = map { waits($_, 2) } @{ $call{"2$n"} };
	in_time("tail, $n", TTL - TTL / $n, @waits);
}
for my $n (sort { $a <=> $b } keys %refused) {
	my $call = $refused{$n};
	Velador::Endpoint::live(sub { @{ $gw->byes($call) } }, TTL + 2, 'BYE');
	my @at = map { $_->{time} - $call->{answered} } @{ $gw->refreshes($call) };
	is(scalar(@at), $n - 1, "segments, $n: an attempt at every boundary inside the interval");
	is((grep { abs($at[$_] - ($_ + 1) * TTL / $n) > LATE } 1 .. $#at), 0, 'each at its time') or diag("@at");
	my $bye = $gw->byes($call)->[0];
	ok($bye && abs($bye->{time} - $call->{answered} - TTL) < LATE, 'BYE at the end of the interval') or diag($bye ? $bye->{time} - $call->{answered} : 'none');
}
my @first = map { my @w = waits($_, 1); @w } map { @$_ } values %call;
$phone->leave($_) for map { @$_ } values %call;

# Thirty calls that begin together do not refresh together.
my @many = map { call('12') } 1 .. 30;
my @spread = sort { $a <=> $b } map { waits($_, 1) } @many;
cmp_ok($spread[-1] - $spread[0], '>', 0.05, 'jitter spreads them') or diag("@spread[0, -1]");
in_time('all in their tenth', TTL / 2, @spread);
$phone->leave($_) for @many;
my $stats = $v->stats;
note("timer lag: at most $stats->{timer_lag_max_ms} ms, $stats->{timer_lag_over_20ms} over 20 ms of $stats->{timer_actions}");
$v->done_ok;

# A peer that runs the timer itself hangs up min(32 s, interval/3) before the end: without strict_schedule the first attempt leaves time for all resends.
$v = Velador->start(plan_of(
	late  => { prefix => '1', address => $gw->addr, ttl => '6s', update_segment => 10, refresh_schedule => 'tail', t1 => '10ms' },
	later => { prefix => '2', address => $gw->addr, ttl => '6s', update_segment => 10, refresh_schedule => 'tail', t1 => '500ms' }),
	session => { no_timer_interval => 0 });
$phone->{to} = $v->addr;
my ($quick, $slow) = map { call($_) } 1, 2;
in_time('RFC4028-10 interval - interval/3 - 64*T1', 6 - 2 - 0.64, waits($quick, 1));
in_time('but not before half the interval', 3, waits($slow, 1));
$phone->leave($_) for $quick, $slow;
$v->done_ok;
done_testing;
