# SPDX-License-Identifier: GPL-2.0-or-later
# When unanswered messages are sent again, by the kernel's time stamps at the peer. All schedules run at the same time.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of wait_for);
use Velador::Peer;

use constant TOLERANCE_S => 0.020;
my @list = (0.3, 0.3, 1, 2.5, 4);
my @auto = (0.5, 1, 2, 4, 8);      # INVITE: no cap
my @capped = (0.5, 1, 2, 4, 4);    # all else: T2

my %peer = map { $_ => Velador::Peer->new(name => $_) } qw(auto_invite auto_bye list_invite list_bye slow_invite slow_bye short none);
my %own = (list => { resend_interval => join(',', @list) }, short => { give_up => '2s' });
my $digit = 0;
my %number = map { $_ => ++$digit . '00' } sort keys %peer;
my $v = Velador->start(plan_of(map { my ($kind) = /^([a-z]+)/; ($_ => { address => $peer{$_}->addr, prefix => $number{$_}, %{ $own{$kind} // {} } }) } keys %peer));
my %phone = map { $_ => Velador::Peer->new(name => "phone of $_", to => $v->addr) } keys %peer, 'busy';

# The times at which a peer gets a kind of message from now on; nothing answers them.
sub times_of {
	my ($peer, $match) = @_;
	my @times;
	$peer->auto(sub { my $m = shift; return 0 unless $match->($m); push @times, $m->{time}; return 1 });
	return \@times;
}
sub is_method { my $method = shift; return sub { ($_[0]{method} // '') eq $method } }
sub is_status { my $status = shift; return sub { ($_[0]{status} // 0) == $status } }

sub kept {
	my ($title, $times, @waits) = @_;
	my $ok = @$times > @waits;
	my ($due, @late) = (0);
	for my $i (1 .. @waits) {
		$due += $waits[ $i - 1 ];
		my $late = ($times->[$i] // 0) - $times->[0] - $due;
		push @late, sprintf '%+.1f', $late * 1000;
		$ok &&= abs($late) <= TOLERANCE_S;
	}
	ok($ok, "$title: " . join(', ', @waits) . ' s') or diag("off by ms: @late; " . @$times . ' came');
	note("$title: off by ms: @late");
	return;
}

# An endpoint that took 400 ms for its first answer has T1 = SRTT + 4 RTTVAR = 0.4 + 4 * 0.2 = 1.2 s (RFC 6298 2.2).
my %measured;
for my $name (qw(slow_invite slow_bye)) {
	my $d = $phone{$name}->dialog(user => $number{$name});
	$d->invite;
	my $invite = $peer{$name}->want('INVITE') or BAIL_OUT('no call comes through');
	$measured{$name} = { dialog => $d, invite => $invite };
}
for my $name (keys %measured) {
	my $invite = $measured{$name}{invite};
	$peer{$name}->never('BYE', $invite->{time} + 0.4 - Time::HiRes::time());
	$peer{$name}->reply($invite, 100);
	$measured{$name}{delay} = Time::HiRes::time() - $invite->{time};
	$peer{$name}->reply($invite, 486);
	my $refusal = $phone{$name}->want(486);
	$measured{$name}{dialog}->ack_failure($refusal) if $refusal;
	$peer{$name}->want('ACK');
}
my %t1_s;
for my $name (qw(slow_invite slow_bye)) {
	my ($e) = grep { $_->{address} =~ /\b\Q$peer{$name}{port}\E\b/ } @{ $v->ctl('endpoints') // [] };
	is($e->{samples}, 1, "RFC6298-2.2 one sample of $name");
	my $expected_ms = 3000 * $measured{$name}{delay};
	cmp_ok(abs(($e->{t1_ms} // 0) - $expected_ms), '<=', 90, sprintf 'its T1 is three times its delay: %.0f ms', $expected_ms) or diag("t1_ms is $e->{t1_ms}");
	$t1_s{$name} = ($e->{t1_ms} // 0) / 1000;
}

# Now everything falls silent.
my %seen;
for my $name (qw(auto_bye list_bye slow_bye)) {
	my ($a, $b) = $phone{$name}->call($peer{$name}, user => $number{$name});
	$seen{$name} = times_of($peer{$name}, is_method('BYE'));
	$a->bye;
}
for my $name (qw(auto_invite list_invite slow_invite short)) {
	$seen{$name} = times_of($peer{$name}, is_method('INVITE'));
	$phone{$name}->dialog(user => $number{$name})->invite;
}
$seen{gave_up} = times_of($phone{short}, is_status(408));
# A caller that never ACKs gets its 200, or its refusal, again and again.
$seen{ok} = times_of($phone{none}, is_status(200));
$seen{busy} = times_of($phone{busy}, is_status(486));
my $unanswered = $phone{none}->dialog(user => $number{none});
$unanswered->invite;
$peer{none}->reply($peer{none}->want('INVITE'), 200, sdp => 1);
$phone{busy}->dialog(user => $number{none})->invite;
$peer{none}->reply($peer{none}->want('INVITE'), 486);

wait_for(sub { Velador::Peer::pump(0.05); return @{ $seen{list_invite} } > @list && @{ $seen{list_bye} } > @list && @{ $seen{slow_invite} } > 2 && @{ $seen{slow_bye} } > 3
	&& !grep { @{ $seen{$_} } <= @auto } qw(auto_invite auto_bye ok busy) }, 20, 'the schedules');

kept('RFC3261-17.1.1.2 INVITE, auto', $seen{auto_invite}, @auto);
kept('RFC3261-17.1.2.2 BYE, auto', $seen{auto_bye}, @capped);
kept('INVITE, a list', $seen{list_invite}, @list);
kept('BYE, a list', $seen{list_bye}, @list);
kept('RFC3261-17.1.1.2 INVITE, measured T1', $seen{slow_invite}, $t1_s{slow_invite}, 2 * $t1_s{slow_invite});
kept('RFC3261-17.1.2.2 BYE, measured T1, capped at T2', $seen{slow_bye}, $t1_s{slow_bye}, 2 * $t1_s{slow_bye}, 4);
kept('RFC3261-13.3.1.4 200 without its ACK', $seen{ok}, @capped);
kept('RFC3261-17.2.1 486 without its ACK', $seen{busy}, @capped);
kept('give_up: no resend after it', $seen{short}, 0.5, 1);
is(scalar(@{ $seen{short} }), 3, 'three INVITEs and no more');
cmp_ok(abs($seen{gave_up}[0] - $seen{short}[0] - 2), '<=', 0.05, 'give_up: 408 to the caller after 2 s');
cmp_ok($v->stat_of('resends'), '>=', 30, 'the resends are counted');
is($v->stop, 0, 'stops orderly');
done_testing;
