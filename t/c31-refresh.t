# SPDX-License-Identifier: GPL-2.0-or-later
# Our own refreshes: what they are, and what becomes of each answer. The calls of a block run side by side.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;

my $gw = Velador::Endpoint->new(name => 'gw');
my $v = Velador->start(
	plan_of(carrier => $gw->addr),
	session    => { ttl => '2s', no_timer_interval => '0' },
	retransmit => { t1 => '100ms', t2 => '400ms' });
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr);

sub live { return Velador::Endpoint::live(@_) }
sub has { my ($peer, $call, $n) = @_; return live(sub { @{ $peer->refreshes($call) } >= $n }, 6, "refresh $n at the $peer->{name}") }
sub ended { my $call = shift; return live(sub { @{ $phone->byes($call) } && @{ $gw->byes($call) } }, 8, 'BYE to both') }
sub gone { my $call = shift; ok($phone->leave($call), 'clean end'); return }
sub rises { my @n = map { $_->cseq } @_; return !grep { $n[$_] <= $n[ $_ - 1 ] } 1 .. $#n }
sub silent { my $call = shift; return $phone->talk($gw, caller => { timer => 0 }, @_) }

# The shape of both kinds.
{
	my $update = $phone->talk($gw, interval => 2);
	my $invite = $phone->talk($gw, interval => 2, caller => { update => 0 }, callee => { update => 0 });
	my $mixed = $phone->talk($gw, interval => 2, callee => { update => 0 });
	for my $call ($update, $invite, $mixed) {
		has($_, $call, 3) for $phone, $gw;
	}
	for ([$phone, 'caller'], [$gw, 'callee']) {
		my ($peer, $side) = @$_;
		my @m = @{ $peer->refreshes($update) };
		is(join(' ', map { $_->{method} } @m[0 .. 2]), 'UPDATE UPDATE UPDATE', "RFC3311-5.1 the $side lists UPDATE: UPDATE");
		my $m = $m[0];
		is($m->{body}, '', 'RFC4028-7.4 without a body');
		is($m->h('Content-Type'), '', 'and without its type');
		is($m->h('Session-Expires'), '2;refresher=uac', 'RFC4028-7.4 Session-Expires with the role it has now');
		like($m->h('Supported'), qr/\btimer\b/, 'RFC4028-7.4 Supported: timer');
		like($m->h('Contact'), qr/\@\Q@{[$v->addr]}\E>/, 'RFC3311-5.1 our Contact');
		is($m->call_id, $update->{call_id}, 'the Call-ID');
		ok(rises(@m), 'RFC3261-12.2.1.1 CSeq rises') or diag(map { $_->cseq . ' ' } @m);
		my $dialog = $update->{$side};
		is($m->h('From'), $dialog->{remote}, 'From is the other end\'s as this end knows it');
		is($m->h('To'), $dialog->{local}, 'To its own');
		is($m->{uri}, $peer->uri, 'the Request-URI its target');
		@m = @{ $peer->refreshes($invite) };
		is(join(' ', map { $_->{method} } @m[0 .. 2]), 'INVITE INVITE INVITE', "the $side does not: re-INVITE");
		is($m[0]{body}, $peer == $phone ? $gw->sdp : $phone->sdp, 'RFC3264-8 with the description last agreed on its leg, as it was');
		is($m[0]->h('Content-Type'), 'application/sdp', 'and its type');
		live(sub { @{ $peer->acks($invite) } >= 3 }, 2, 'ACKs');
		is((grep { $_->cseq == $m[0]->cseq } @{ $peer->acks($invite) }), 1, 'RFC3261-13.2.2.4 ACKed with its number');
	}
	is($phone->refreshes($mixed)->[0]{method} . $gw->refreshes($mixed)->[0]{method}, 'UPDATEINVITE', 'each leg in its own way');
	gone($_) for $update, $invite, $mixed;
	my $record = $v->wait_record_of($update->{call_id});
	cmp_ok($record->{refreshes}, '>=', 6, 'the record counts them');
	is($record->{reason}, 'normal', 'and the reason is the caller\'s BYE');
}
# Answers.
{
	my %status;
	my %call;
	for my $status (405, 501) {
		my $call = $call{$status} = $phone->talk($gw, caller => { timer => 0 });
		$gw->on($call, sub { return $_[0]{method} eq 'UPDATE' ? $status : 200 });
	}
	for my $status (481, 408, 404, 410, 416, 482, 483, 484, 485, 502, 604) {
		my $call = $call{$status} = $phone->talk($gw, caller => { timer => 0 });
		$gw->on($call, sub { return $status });
	}
	for my $status (491, 500, 503, 480, 488) {
		my $call = $call{$status} = $phone->talk($gw, caller => { timer => 0 }, interval => 2);
		my $n = 0;
		$gw->on($call, sub { return $n++ ? 200 : $status }) if $status == 491;
		$gw->on($call, sub { return $status }) if $status != 491;
	}
	my $learned = $phone->talk($gw, caller => { timer => 0 });
	my $n = 0;
	$gw->on($learned, sub { return $n++ ? 200 : [422, headers => [['Min-SE', '7']]] });
	for (405, 501) {
		has($gw, $call{$_}, 4);
		is(join(' ', map { $_->{method} } @{ $gw->refreshes($call{$_}) }[0 .. 3]), 'UPDATE INVITE INVITE INVITE', "RFC3311-5.1 $_ to UPDATE: re-INVITE at once, and from then on");
		my @m = @{ $gw->refreshes($call{$_}) };
		cmp_ok($m[1]{time} - $m[0]{time}, '<', 0.25, 'without waiting');
		gone($call{$_});
	}
	for (481, 408, 404, 410, 416, 482, 483, 484, 485, 502, 604) {
		ended($call{$_});
		my $bye = $phone->byes($call{$_})->[0];
		is($bye ? $bye->h('Reason') : '', 'SIP;cause=481;text="Endpoint has lost the call"', 'RFC5057-5.1 ' . "$_ ends the call");
		my $record = $v->wait_record_of($call{$_}{call_id});
		is("@$record{qw(ended_by reason)}", 'server endpoint_gone', 'and the record says why');
		is(scalar(@{ $gw->refreshes($call{$_}) }), 1, 'after one refresh');
	}
	for (500, 503, 480, 488) {
		ended($call{$_});
		my $record = $v->wait_record_of($call{$_}{call_id});
		is("@$record{qw(ended_by reason)}", 'server session_expired', "RFC4028-10 $_ does not end the call, its expiry does");
		is($phone->byes($call{$_})->[0]->h('Reason'), 'SIP;cause=408;text="Session timer expired"', 'RFC3326-2 with a Reason');
	}
	has($gw, $learned, 2);
	my @m = @{ $gw->refreshes($learned) };
	is($m[1]->h('Session-Expires') . ' ' . $m[1]->h('Min-SE'), '7;refresher=uac 7', 'RFC4028-7.3 422 to a refresh: again with the larger interval');
	is($m[1]->cseq, $m[0]->cseq + 1, 'the next number');
	gone($learned);
	ended($call{491});
	cmp_ok($v->stat_of('endpoints_gone'), '==', 11, 'counted: endpoints gone');
	cmp_ok($v->stat_of('sessions_expired'), '>=', 4, 'sessions expired');
	cmp_ok($v->stat_of('refreshes_refused'), '>=', 10, 'refused');
	cmp_ok($v->stat_of('refreshes_5xx'), '>=', 2, 'failed');
}
$v->done_ok;

# Glare, retries, descriptions: intervals long enough to wait in.
$v = Velador->start(
	plan_of(carrier => $gw->addr),
	session    => { ttl => '6s', no_timer_interval => '0', update_segment => 6, timeout_early_hangup => '3s' },
	retransmit => { t1 => '50ms', t2 => '200ms', give_up => '700ms' });
$phone->{to} = $v->addr;
{
	my (@b, @a);
	for my $i (0 .. 3) {
		my $once = sub { my $n = 0; return sub { return $n++ ? 200 : 491 } };
		push @b, $phone->talk($gw, caller => { timer => 0 });
		$gw->on($b[-1], $once->());
		push @a, $phone->talk($gw, interval => 6, callee => { timer => 0 });
		$phone->on($a[-1], $once->());
	}
	my $once = sub { my $status = shift; my $n = 0; return sub { return $n++ ? 200 : $status } };
	my $busy = $phone->talk($gw, caller => { timer => 0 });
	$gw->on($busy, $once->(503));
	my $mute = $phone->talk($gw, caller => { timer => 0 });
	$gw->on($mute, sub { my $m = shift; return $m->{time} > $mute->{answered} + 2.1 ? 200 : 0 });
	my $other = $phone->talk($gw, caller => { timer => 0 }, callee => { update => 0 });
	my $changed = $gw->sdp(version => 2, port => 47000);
	$gw->on($other, sub { return [200, body => $changed] });
	my $version = $phone->talk($gw, caller => { timer => 0 }, callee => { update => 0 });
	$gw->on($version, sub { return [200, body => $gw->sdp(version => 99)] });
	my $glare = $phone->talk($gw, caller => { timer => 0 }, callee => { update => 0 });
	$gw->on($glare, sub { return [200, body => $changed] });
	$phone->on($glare, $once->(491));
	has($gw, $_, 2) for @b;
	has($phone, $_, 2) for @a;
	my @wait = map { my $m = $gw->refreshes($_); $m->[1]{time} - $m->[0]{time} } @b;
	is((grep { $_ < 2.09 || $_ > 4.1 } @wait), 0, 'RFC3261-14.1 after 491 on the callee\'s leg, whose Call-ID is ours: 2.1 to 4 s') or diag("@wait");
	@wait = map { my $m = $phone->refreshes($_); $m->[1]{time} - $m->[0]{time} } @a;
	is((grep { $_ > 2.1 } @wait), 0, 'RFC3261-14.1 on the caller\'s: up to 2 s') or diag("@wait");
	has($gw, $busy, 2);
	my @m = @{ $gw->refreshes($busy) };
	my $since = $m[1]{time} - $busy->{answered};
	ok($since > 1.9 && $since < 2.2, 'a failure: again at the next segment\'s boundary') or diag($since);
	ok(live(sub { grep { $_->{time} > $mute->{answered} + 2.1 } @{ $gw->refreshes($mute) } }, 5), 'silence: again at a boundary, too');
	my %at; $at{ $_->cseq }++ for @{ $gw->refreshes($mute) };
	is(join(' ', map { $at{$_} > 2 ? 'resent' : 'not' } (sort { $a <=> $b } keys %at)[0, 1]), 'resent resent', 'each attempt with its resends');
	ok(live(sub { @{ $phone->refreshes($other) } }, 3), 'RFC3264-8 an answer that differs is told to the other leg');
	my $told = $phone->refreshes($other)->[0];
	is($told->{method}, 'INVITE', 'by a re-INVITE');
	is($told->{body}, $changed, 'which bears the description');
	has($gw, $other, 3);
	is(scalar(@{ $phone->refreshes($other) }), 1, 'once');
	has($gw, $version, 3);
	is(scalar(@{ $phone->refreshes($version) }), 0, 'another version in the o= line is no difference');
	ok(live(sub { @{ $phone->refreshes($glare) } >= 2 }, 6), 'a telling that met glare is tried again');
	is($phone->refreshes($glare)->[1]{body}, $changed, 'with the same description');
	gone($_) for @a, @b, $busy, $mute, $other, $version, $glare;
}
# What is repeated is what was agreed last, however it was agreed.
{
	my %new = (offer => $phone->sdp(version => 2, port => 41000), answer => $gw->sdp(version => 2, port => 47000));
	my ($by_invite, $by_update, $by_ack, $failed) = map { $phone->talk($gw, interval => 6, callee => { update => 0 }, caller => { update => 0 }) } 1 .. 4;
	$gw->on($_, sub { return [200, body => $new{answer}] }) for $by_invite, $by_update;
	$phone->on($_, sub { return [200, body => $new{offer}] }) for $by_invite, $by_update, $by_ack;
	$by_invite->{caller}->invite(body => $new{offer}, headers => [['Supported', 'timer']]);
	$phone->want('200/INVITE', call_id => $by_invite->{call_id});
	$by_invite->{caller}->ack;
	$by_update->{caller}->send('UPDATE', body => $new{offer}, headers => [['Supported', 'timer']]);
	$phone->want('200/UPDATE', call_id => $by_update->{call_id});
	$gw->on($by_ack, sub { return [200, body => $new{answer}] });
	$by_ack->{caller}->invite(body => '', headers => [['Supported', 'timer']]);
	$phone->want('200/INVITE', call_id => $by_ack->{call_id});
	$by_ack->{caller}->ack(body => $new{offer});
	my $n = 0;
	$gw->on($failed, sub { return $n++ ? 200 : 488 });
	$failed->{caller}->invite(body => $new{offer}, headers => [['Supported', 'timer']]);
	my $no = $phone->want('488/INVITE', call_id => $failed->{call_id});
	$failed->{caller}->ack_failure($no) if $no;
	for (['re-INVITE', $by_invite], ['UPDATE', $by_update], ['ACK', $by_ack]) {
		my ($how, $call) = @$_;
		has($gw, $call, 2);
		is($gw->refreshes($call)->[1]{body}, $new{offer}, "RFC3264-8 a description agreed by $how is what we repeat to the callee");
		has($phone, $call, 1);
		is($phone->refreshes($call)->[0]{body}, $new{answer}, 'and to the caller');
	}
	has($gw, $failed, 2);
	is($gw->refreshes($failed)->[1]{body}, $phone->sdp, 'RFC6141-3.1 one that was refused is not');
	gone($_) for $by_invite, $by_update, $by_ack, $failed;
}
$v->done_ok;
done_testing;
