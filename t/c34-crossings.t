# SPDX-License-Identifier: GPL-2.0-or-later
# Our refreshes between the endpoints' own requests: numbers, glare, crossings.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;

my $gw = Velador::Endpoint->new(name => 'gw');
my $v = Velador->start(plan_of(carrier => $gw->addr), session => { ttl => '2s', update_segment => 4, no_timer_interval => 0, timeout_early_hangup => '6s' });
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr);

sub live { return Velador::Endpoint::live(@_) }
sub has { my ($peer, $call, $n) = @_; return live(sub { @{ $peer->refreshes($call) } >= $n }, 8, "refresh $n at the $peer->{name}") }
sub gone { my $call = shift; ok($phone->leave($call), 'clean end'); return }
my $timer = [['Supported', 'timer']];

# Every request that came to a peer in a call, with its number, in the order of coming; repeats once.
my %came;
for my $peer ($phone, $gw) {
	unshift @{ $peer->{auto} }, sub {
		my $m = shift;
		return 0 unless $m->is_request && $m->{method} ne 'ACK' && $m->{method} ne 'CANCEL';
		my $list = $came{ $peer->{name} }{ $m->call_id } //= [];
		push @$list, [$m->{method}, $m->cseq] unless grep { $_->[1] == $m->cseq } @$list;
		return 0;
	};
}

# One request of an endpoint through to the other and back, with lost answers: it resends, the other answers again. Glare with a re-INVITE of ours: again.
sub through {
	my ($from, $to, $dialog, $call, $method) = @_;
	my %body = $method eq 'INVITE' ? (sdp => 1) : $method eq 'INFO' ? (body => 'x', type => 'text/plain') : ();
	my @more = $method eq 'REFER' ? (['Refer-To', '<sip:x@example.org>']) : $method eq 'PRACK' ? (['RAck', '1 1 INVITE']) : @$timer;
	for (1 .. 4) {
		$dialog->send($method, %body, headers => [@more]);
		$dialog->resend($method);
		if ($method !~ /^(?:INVITE|UPDATE)$/) {
			my $m = $to->want($method, call_id => $call->{call_id}) or return;
			$to->reply($m, 200);
			$to->reply($m, 200);
		}
		my $answer = $from->want(sub { my $m = shift; return ($m->{status} // 0) >= 200 && $m->call_id eq $call->{call_id} && $m->cseq_method eq $method && $m->cseq == $dialog->{cseq} });
		if ($answer && $answer->{status} == 491) {
			$dialog->ack_failure($answer) if $method eq 'INVITE';
			live(sub { 0 }, 0.1);
			next;
		}
		$dialog->ack if $method eq 'INVITE' && $answer;
		return $answer && $answer->{status} == 200;
	}
	return;
}

{
	my @calls = map { $phone->talk($gw, callee => { update => $_ }, caller => { update => 1 - $_ }) } 0, 1;
	my (%bad, $rounds);
	for my $round (1 .. 3) {
		for my $call (@calls) {
			for my $method (qw(INFO UPDATE REFER INVITE MESSAGE)) {
				through($phone, $gw, $call->{caller}, $call, $method) or $bad{"caller's $method"}++;
				through($gw, $phone, $call->{callee}, $call, $method) or $bad{"callee's $method"}++;
				live(sub { 0 }, 0.15);
			}
		}
	}
	is_deeply(\%bad, {}, 'RFC3261-8.2.6.2 every request is answered to its sender with his own number, our refreshes in between');
	my $ours = 0;
	for my $call (@calls) {
		has($_, $call, 6) for $phone, $gw;
		$phone->leave($call);
		for my $peer ('phone', 'gw') {
			my @list = @{ $came{$peer}{ $call->{call_id} } };
			my @n = map { $_->[1] } @list;
			is((grep { $n[$_] <= $n[ $_ - 1 ] } 1 .. $#n), 0, "RFC3261-12.2.1.1 on the leg to the $peer each new request has a higher number")
				or diag(map { "@$_; " } @list);
			my %is; $is{ $_->[0] }++ for @list;
			$ours += ($is{UPDATE} // 0) + ($is{INVITE} // 0) - 3 - 3;
		}
		is($came{gw}{ $call->{call_id} }[-1][0], 'BYE', 'BYE last');
	}
	cmp_ok($ours, '>=', 4, "refreshes of ours among them ($ours)");
	is($v->stat_of('out_of_order'), 0, 'none out of order');
}
# An offer of an endpoint's is open: no refresh.
{
	my $call = $phone->talk($gw, callee => { update => 0 }, caller => { update => 0 });
	my $pending;
	$gw->on($call, sub { $pending //= $_[0]; return 0 });
	$call->{caller}->invite(headers => $timer);
	ok(live(sub { $pending }, 2), 'a re-INVITE of the caller\'s') or die;
	my $asked = $pending->{time};
	$gw->reply($pending, 100);
	live(sub { 0 }, 1.2);
	is((grep { $_->{time} > $asked } @{ $phone->refreshes($call) }) + (grep { $_->cseq != $pending->cseq } grep { $_->{time} > $asked } @{ $gw->refreshes($call) }), 0, 'while it is open no refresh is sent on either leg');
	$gw->on($call, undef);
	$gw->accept_refresh($pending);
	my $ok = $phone->want('200/INVITE', call_id => $call->{call_id});
	live(sub { 0 }, 0.8);
	is((grep { $_->{time} > $ok->{time} } @{ $phone->refreshes($call) }, @{ $gw->refreshes($call) }), 0, 'nor before its ACK');
	$call->{caller}->ack;
	ok(live(sub { grep({ $_->{time} > $ok->{time} } @{ $phone->refreshes($call) }) && grep({ $_->{time} > $ok->{time} } @{ $gw->refreshes($call) }) }, 2), 'then both');
	gone($call);
}
# Glare on one leg and across.
{
	my ($same, $across, $late, $update, $cancel) = map { $phone->talk($gw, callee => { update => 0 }, caller => { update => 0, timer => 0 }) } 1 .. 5;
	my %open;
	$gw->on($_, sub { my $m = shift; $open{ $m->call_id } //= $m; $gw->reply($m, 100); return 0 }) for $same, $across, $late, $update, $cancel;
	ok(live(sub { 5 == keys %open }, 3), 'our re-INVITEs are open on the callee\'s leg');
	$same->{callee}->invite(headers => $timer);
	my $no = $gw->want(sub { ($_[0]{status} // 0) == 491 && $_[0]->call_id eq $same->{call_id} });
	ok($no, 'RFC3261-14.2 the callee\'s own meets ours: 491');
	$same->{callee}->ack_failure($no) if $no;
	$update->{caller}->send('UPDATE', headers => $timer);
	ok($phone->want('491/UPDATE', call_id => $update->{call_id}), 'RFC3311-5.2 an UPDATE of the caller\'s: 491');
	$_->{caller}->invite(headers => $timer) for $across, $late, $cancel;
	$_->{asked} = Time::HiRes::time() for $across, $late, $cancel;
	ok($phone->want('100/INVITE', call_id => $_->{call_id}), 'a re-INVITE of the caller\'s waits under 100') for $across, $late, $cancel;
	$cancel->{caller}->cancel;
	ok($phone->want('200/CANCEL', call_id => $cancel->{call_id}), 'RFC3261-9.2 one that waits may be cancelled');
	my $gone = $phone->want('487/INVITE', call_id => $cancel->{call_id});
	ok($gone, 'it gets 487');
	$cancel->{caller}->ack_failure($gone) if $gone;
	live(sub { 0 }, 0.3);
	is((grep { $_->cseq != $open{ $across->{call_id} }->cseq } grep { $_->{time} > $across->{asked} } @{ $gw->refreshes($across) }), 0, 'the callee does not see it yet');
	$gw->on($_, undef) for $across, $cancel, $update, $same;
	$gw->accept_refresh($open{ $_->{call_id} }) for $across, $cancel, $update, $same;
	my $ok = $phone->want('200/INVITE', call_id => $across->{call_id});
	ok($ok, 'when ours is answered it goes on, and is answered');
	$across->{caller}->ack if $ok;
	$no = $phone->want('491/INVITE', call_id => $late->{call_id});
	ok($no, 'where ours is not: 491') or die;
	ok(abs($no->{time} - $late->{asked} - 2) < 0.2, 'after 2 s') or diag($no->{time} - $late->{asked});
	$late->{caller}->ack_failure($no);
	$gw->on($late, undef);
	$gw->accept_refresh($open{ $late->{call_id} });
	gone($_) for $same, $across, $late, $update, $cancel;
}
# An endpoint's refresh crosses ours; BYE crosses ours.
{
	my @cross = map { $phone->talk($gw, callee => { update => 1 }, caller => { timer => 0 }) } 1 .. 3;
	my $n = 0;
	for my $call (@cross) {
		my $done;
		$gw->on($call, sub {
			$call->{callee}->send('UPDATE', headers => [@$timer, ['Session-Expires', '2;refresher=uac']]) unless $done++;
			return 200;
		});
	}
	has($gw, $_, 1) for @cross;
	$n += $gw->want('200/UPDATE', call_id => $_->{call_id}) ? 1 : 0 for @cross;
	is($n, 3, 'an endpoint\'s UPDATE that crosses ours is answered');
	$gw->on($_, undef) for @cross;
	live(sub { 0 }, 2.5);
	is((grep { @{ $gw->byes($_) } } @cross), 0, 'and the calls live on');
	gone($_) for @cross;

	for my $kind (0, 1) {
		my ($a, $b) = map { $phone->talk($gw, callee => { update => $kind }, caller => { timer => 0 }) } 1, 2;
		$gw->on($a, sub { my $m = shift; $a->{callee}->bye; $gw->reply($m, $m->{method} eq 'UPDATE' ? 481 : 487); return 0 });
		$gw->on($b, sub { $b->{crossed} = 1; $b->{caller}->bye; return 200 });
		my $what = $kind ? 'UPDATE' : 're-INVITE';
		ok($gw->want('200/BYE', call_id => $a->{call_id}), "RFC5407-3.2 the callee's BYE crosses our $what");
		ok($phone->want('200/BYE', call_id => $b->{call_id}), "RFC5407-3.2 so does the caller's");
		my ($ra, $rb) = map { $v->wait_record_of($_->{call_id}) } $a, $b;
		is("$ra->{reason} $ra->{ended_by}, $rb->{reason} $rb->{ended_by}", 'normal callee, normal caller', 'records');
		is(scalar(@{ $gw->byes($a) }) . scalar(@{ $phone->byes($a) }) . scalar(@{ $gw->byes($b) }) . scalar(@{ $phone->byes($b) }), '0110', 'BYE only to the other end');
		ok($kind || live(sub { grep { $_->cseq == $gw->refreshes($b)->[0]->cseq } @{ $gw->acks($b) } }, 2), 'the 200 to our re-INVITE is ACKed all the same');
	}
}
# Answers of refreshes that come twice; refreshes whose answers are lost.
{
	my ($twice, $lost) = map { my $c = $phone->talk($gw, callee => { update => $_ }, caller => { timer => 0 }); $c } 0, 1;
	my %seen;
	$gw->on($twice, sub { my $m = shift; $gw->accept_refresh($m) for 1 .. 3; return 0 });
	$gw->on($lost, sub { my $m = shift; return $seen{ $m->cseq }++ ? 200 : 0 });
	live(sub { 0 }, 2.4);
	my ($first) = map { $_->cseq } @{ $gw->refreshes($twice) };
	my @acks = grep { $_->cseq == $first } @{ $gw->acks($twice) };
	is(scalar(@acks), 3, 'RFC3261-13.2.2.4 each repeat of the 2xx to our re-INVITE gets its ACK');
	is((grep { $_->{raw} ne $acks[0]{raw} } @acks), 0, 'the same bytes');
	ok(!@{ $gw->byes($lost) }, 'a refresh whose first answer was lost is resent, and the call lives');
	my @m = @{ $gw->refreshes($lost) };
	ok($m[0]{raw} eq $m[1]{raw}, 'RFC3261-17.1.2.2 the resend is the same message');
	gone($_) for $twice, $lost;
}
$v->done_ok;
done_testing;
