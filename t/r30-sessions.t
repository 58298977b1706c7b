# SPDX-License-Identifier: GPL-2.0-or-later
# What reading the session timers with RFC 4028 in hand found wrong.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;

my $gw = Velador::Endpoint->new(name => 'gw');
my $to = $gw->addr;
my $v = Velador->start(
	plan_of(
		plain  => { prefix => '1', address => $to, ttl => '2s' },
		slow   => { prefix => '2', address => $to, ttl => '3s' },
		ten    => { prefix => '5', address => $to, ttl => '8s', update_segment => 10 },
		net    => { prefix => '3', address => $to, ttl => '600s', no_timer_interval => '1s' },
		net2   => { prefix => '4', address => $to, ttl => '600s', no_timer_interval => '1s' }),
	'gateway limited' => { role => 'caller', source => '127.0.0.2', no_timer_interval => '3s', no_timer_action => 'hangup' },
	session    => { ttl => '2s', no_timer_interval => '1h' },
	retransmit => { t1 => '50ms', t2 => '400ms' });
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr, timer => 0);

my %reason;    # of the calls that we end, looked at when all is done

sub live { return Velador::Endpoint::live(@_) }
sub has { my ($peer, $call, $n) = @_; return live(sub { @{ $peer->refreshes($call) } >= $n }, 6, "refresh $n at the $peer->{name}") }
sub gone { my $call = shift; ok($phone->leave($call), 'clean end'); return }
sub after { my ($call, $n) = @_; my $m = $gw->refreshes($call)->[$n]; return $m ? $m->{time} - $call->{answered} : -1 }

# An answer may lower the interval that we asked for. One that raises it must not let a dead call stand for its day.
{
	my $call = $phone->talk($gw, user => 1, answer => { headers => [['Session-Expires', '86400;refresher=uac'], ['Supported', 'timer'], ['Allow', 'UPDATE']] });
	has($gw, $call, 1);
	cmp_ok(after($call, 0), '<', 1.1, 'RFC4028-9 an interval that the callee raised: we refresh by what we asked for');
	$gw->dies($call);
	ok(live(sub { @{ $phone->byes($call) } }, 4), 'and the call ends with it');
	$reason{ $call->{call_id} } = 'session_expired';
}
# No refresh may go before the ACK; so the session must not end for want of one either.
{
	my $caller = $phone->dialog(user => 1);
	$caller->invite(headers => [$phone->allow({}), ['Supported', 'timer']]);
	my $invite = $gw->want('INVITE', call_id => $caller->{call_id}) or die;
	$phone->_of($caller->{call_id})->{timer} = 1;
	$gw->accept_refresh($invite);
	my $ok = $phone->want('200/INVITE', call_id => $caller->{call_id}) or die;
	my $call = { call_id => $caller->{call_id}, caller => $caller, callee => $gw->dialog_of($invite), answered => $ok->{time} };
	live(sub { 0 }, 2.6);    # 64*T1 is 32 s at the least
	is(@{ $gw->byes($call) } + @{ $phone->byes($call) }, 0, 'RFC4028-10 a session does not expire while the ACK is on its way');
	$caller->learn($ok)->ack;
	has($_, $call, 1) for $phone, $gw;
	cmp_ok(after($call, 0), '<', 2.6 + 0.5, 'what was due meanwhile comes when it is there');
	has($_, $call, 3) for $phone, $gw;
	is(@{ $gw->byes($call) } + @{ $phone->byes($call) }, 0, 'and the call lives');
	gone($call);
}
# The description may lie in a body of several parts (ISUP beside it: RFC 3204).
{
	my $parts = sub {
		my ($sdp, $quote) = @_;
		return (type => "multipart/mixed;boundary=$quote--x$quote", body => join "\r\n", 'preamble', '----x', 'Content-Type: application/ISUP;version=itu-t92+', 'Content-Disposition: signal;handling=optional', '', "\x01\x00\x49",
			'----x', 'content-type : application/sdp', 'Content-Disposition: session', '', $sdp . '----x--', '');
	};
	my $caller = $phone->dialog(user => 1);
	my %offer = $parts->($phone->sdp, '"');
	$caller->invite(%offer, headers => [['Supported', 'timer']]);
	$phone->_of($caller->{call_id})->{timer} = 1;
	my $invite = $gw->want('INVITE', call_id => $caller->{call_id}) or die;
	is($invite->{body}, $offer{body}, 'RFC3204-3 a body of several parts passes as it is');
	$gw->accept_refresh($invite, $parts->($gw->sdp, ''), headers => [['Session-Expires', '2;refresher=uac'], ['Supported', 'timer']]);
	my $ok = $phone->want('200/INVITE', call_id => $caller->{call_id}) or die;
	$caller->learn($ok)->ack;
	my $call = { call_id => $caller->{call_id}, caller => $caller, answered => $ok->{time} };
	my @acks;
	for ([$gw, $phone->sdp], [$phone, $gw->sdp]) {
		my ($peer, $sdp) = @$_;
		has($peer, $call, 1);
		my $m = $peer->refreshes($call)->[0];
		is("$m->{method} " . $m->h('Content-Type'), 'INVITE application/sdp', "RFC3264-8 the re-INVITE to the $peer->{name} bears the description among them");
		is($m->{body}, $sdp, 'as it was');
		live(sub { grep { $_->cseq == $m->cseq } @{ $peer->acks($call) } }, 2, 'the ACK');
		is((grep { $_->cseq == $m->cseq } @{ $peer->acks($call) })[0]->{body}, '', 'and no stream is refused in the ACK');
	}
	gone($call);
}
# Two segments have one boundary inside the interval. What failed there is tried again before the end.
{
	my $call = $phone->talk($gw, user => 2);
	my $n = 0;
	$gw->on($call, sub { return $n++ ? 200 : 503 });
	has($gw, $call, 2);
	my $second = after($call, 1);
	ok($second > 2.1 && $second < 2.4, 'RFC4028-10 with two segments a failure is tried again midway to the end') or diag($second);
	has($gw, $call, 3);
	is(scalar(@{ $gw->byes($call) }), 0, 'one busy moment cuts no call');
	$gw->on($call, sub { 503 });
	my $from = @{ $gw->refreshes($call) };
	live(sub { @{ $gw->byes($call) } }, 6, 'BYE');
	cmp_ok(@{ $gw->refreshes($call) } - $from, '<=', 2, 'but it is tried twice, no more');
	$reason{ $call->{call_id} } = 'session_expired';
}
# An UPDATE that is a refresh and nothing else, towards a callee who said nothing of UPDATE and does not know it (RFC 3261 section 20.5).
{
	my $call = $phone->talk($gw, user => 1, callee => { timer => 0 }, answer => { headers => [] });
	my @asked;
	$gw->on($call, sub { push @asked, $_[0]{method}; return $_[0]{method} eq 'UPDATE' ? 501 : 200 });
	for (1, 2) {
		$call->{caller}->send('UPDATE', headers => [['Supported', 'timer'], ['Session-Expires', '600;refresher=uac']]);
		my $m = $phone->want(sub { ($_[0]{status} // 0) >= 200 && $_[0]->cseq_method eq 'UPDATE' && $_[0]->call_id eq $call->{call_id} });
		is($m ? "$m->{status} " . $m->h('Session-Expires') : '', '200 2;refresher=uac', 'RFC3311-5.2 the refresh of a caller is answered here where the callee knows no UPDATE');
	}
	is("@asked", 'UPDATE', 'it is asked once');
	gone($call);
}
# A description that changed is told to a caller without timer, too, whatever waits for him.
{
	my $limited = Velador::Endpoint->new(name => 'limited', host => '127.0.0.2', to => $v->addr, timer => 0);
	my $call = $limited->talk($gw, user => 5, callee => { update => 0 });
	my $changed = $gw->sdp(version => 2, port => 47000);
	$gw->on($call, sub { return [200, body => $changed] });
	$limited->on($call, sub { 0 });
	has($limited, $call, 1);
	my ($told) = @{ $limited->refreshes($call) };
	is($told ? $told->{body} : '', $changed, 'RFC3264-8 a new description is told where no_timer_action = hangup');
	live(sub { @{ $limited->byes($call) } }, 6, 'BYE');
	my $bye = $limited->byes($call)->[0];
	$reason{ $call->{call_id} } = 'no_timer_limit';
	ok($bye && abs($bye->{time} - $call->{answered} - 3) < 0.2, 'the limit comes when it is due, neither with that nor later') or diag($bye ? $bye->{time} - $call->{answered} : 'no BYE');
}
# One who was busy when he was to be told, and then shows that he lives, is told all the same.
{
	my $call = $phone->talk($gw, user => 5, callee => { update => 0 });
	my $changed = $gw->sdp(version => 2, port => 47000);
	my $n = 0;
	$gw->on($call, sub { return [200, body => $changed] });
	$phone->on($call, sub {
		return 200 if $n++;
		return 491;
	});
	has($phone, $call, 1);
	live(sub { 0 }, 0.02);
	$call->{caller}->send('UPDATE');
	has($phone, $call, 2);
	my $m = $phone->refreshes($call)->[1];
	is($m ? $m->{body} : '', $changed, 'RFC3264-8 a telling that met glare is not forgotten when the leg is confirmed');
	gone($call);
}
# A reload that makes the safety net wider, or takes it away.
{
	my ($wider, $off) = map { my $user = $_; $phone->talk($gw, user => $user, callee => { timer => 0 }) } 3, 4;
	$v->change_ini('gateway net' => { %{ $v->{ini}{'gateway net'} }, no_timer_interval => '4s', no_timer_action => 'hangup' },
		'gateway net2' => { %{ $v->{ini}{'gateway net2'} }, no_timer_interval => 0, no_timer_action => 'hangup' });
	is(($v->ctl_raw('reload'))[0], 0, 'reload') or $v->tell;
	live(sub { @{ $gw->byes($wider) } }, 6, 'the new limit');
	my $bye = $gw->byes($wider)->[0];
	ok($bye && abs($bye->{time} - $wider->{answered} - 4) < 0.3, 'a wider no_timer_interval is obeyed from the next check on') or diag($bye ? $bye->{time} - $wider->{answered} : 'no BYE');
	is(scalar(@{ $gw->byes($off) }), 0, 'and 0 switches it off');
	gone($off);
}
is($v->wait_record_of($_, 10)->{reason}, $reason{$_}, "a record says $reason{$_}") for sort keys %reason;
$v->done_ok;
done_testing;
