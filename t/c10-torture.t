# SPDX-License-Identifier: GPL-2.0-or-later
# Every point of RFC 4475, by the whole proxy: forwarded, answered, or dropped as t/torture/MANIFEST.tsv says.
# Runs in a network namespace with nothing but loopback, for the messages name foreign addresses.
use strict;
use warnings;
use Test::More;
use Velador qw(alone plan_of slurp source_dir);
use Velador::Peer;

alone();
# An INVITE with a To tag belongs to a dialog, which we do not have (RFC 3261 12.2.2); a proxy would pass it.
my %ours = ('3.1.1.1' => 481);
my $dir = source_dir() . '/t/torture';
my @cases = map { [split /\t/] } grep { !/^#/ } split /\n/, slurp("$dir/MANIFEST.tsv");
cmp_ok(scalar(@cases), '>=', 49, 'a message for every section');
my $carrier = Velador::Peer->new(name => 'carrier', port => 15060);
my $v = Velador->start(listen => { udp => '127.0.0.1:25060' }, plan_of(carrier => $carrier->addr));

# Answers go to our address and the port of the top Via (RFC 3261 18.2.2): the peer sends from there.
my %caller;
sub caller_for {
	my $bytes = shift;
	my ($port) = $bytes =~ m{^(?:via|v)\s*:\s*SIP\s*/\s*[\d.]+\s*/\s*\w+\s+[^\s;,:]+(?:\s*:\s*(\d+))?}mi;
	$port = 5060 if !$port || $port > 65535;
	return $caller{$port} //= Velador::Peer->new(name => "port $port", port => $port, to => $v->addr);
}

# Repeats of what belongs to earlier messages do not count.
my %earlier;
sub fresh { return grep { !$earlier{ $_->call_id } } map { @{ $_->{inbox} } } @_ }

for (@cases) {
	my ($file, undef, undef, $outcomes, $what) = @$_;
	my ($section) = $file =~ /^([\d.]+\d)/;
	my %may = map { $_ => 1 } $ours{$section} // split /,/, $outcomes;
	my $bytes = slurp("$dir/$file");
	my $caller = caller_for($bytes);
	my $before = $v->stats;
	$caller->send($bytes);
	my ($forwarded, $answer);
	Velador::wait_for(sub {
		Velador::Peer::pump(0.01);
		$forwarded //= (grep { $_->{method} } fresh($carrier))[0];
		$answer //= (grep { ($_->{status} // 0) >= 200 } fresh(values %caller))[0];
		return 1 if $forwarded || $answer;
		my $now = $v->stats;
		# Forwarded to where the message itself says, which is nowhere here; or dropped.
		return $now->{datagrams_in} > $before->{datagrams_in} && ($now->{send_errors} > $before->{send_errors} || $may{D} && dropped($before, $now));
	}, 3);
	my $now = $v->stats;
	my $got = $answer ? $answer->{status} : $forwarded ? 'F' : $now->{send_errors} > $before->{send_errors} ? 'F' : dropped($before, $now) ? 'D' : 'nothing';
	ok($may{$got}, "RFC4475-$section $what: $got") or diag("allowed: $outcomes" . ($answer ? "; it said $answer->{reason}" : ''));
	# What was forwarded is refused, so that nothing stays.
	for (grep { $_->{method} && $_->{method} ne 'ACK' } fresh($carrier)) {
		$carrier->reply($_, 404);
		Velador::wait_for(sub { Velador::Peer::pump(0.01); return grep { ($_->{status} // 0) == 404 } fresh(values %caller) }, 2, "the 404 to $file");
	}
	$earlier{ $_->call_id } = 1 for grep { length $_->call_id } map { $_->drain } values %caller, $carrier;
}
sub dropped {
	my ($before, $now) = @_;
	return scalar grep { ($now->{$_} // 0) > ($before->{$_} // 0) } qw(malformed_responses malformed_dropped stray_responses forged stray_acks);
}

my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my ($a, $b) = $phone->call($carrier);
ok($phone->hang_up($a, $b), 'a call works after all that');
is(scalar(grep { $_->{restarts} } @{ $v->ctl('status')->{processes} }), 0, 'no process was replaced');
$v->stop;
done_testing;
