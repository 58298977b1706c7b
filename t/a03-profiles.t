# SPDX-License-Identifier: GPL-2.0-or-later
# The sample and the profiles are good configurations, and the profiles say what they are for.
use strict;
use warnings;
use Test::More;
use Velador qw(slurp source_dir build_dir);

my ($ini, $velador) = (source_dir() . '/ini', build_dir() . '/velador');

# segment, schedule, setup early hangup, no-timer interval, 100rel
my %profile = (
	'wholesale'      => [4, 'tail',     '30s', '3600s', 'supported'],
	'retail-prepaid' => [2, 'tail',     '60s', '7200s', 'supported'],
	'enterprise-pbx' => [4, 'tail',     '60s', '7200s', 'passthrough'],
	'call-center'    => [2, 'tail',     '30s', '3600s', 'supported'],
	'residential'    => [4, 'tail',     '45s', '7200s', 'passthrough'],
	'satellite'      => [2, 'segments', '60s', '7200s', 'supported'],
);

sub check {
	my ($file) = @_;
	my $said = `$velador -t -c $file 2>&1`;
	is($?, 0, "$file is good") or diag($said);
	return $said;
}
unlike(check("$ini/velador.ini.sample"), qr/^(?:warning|error)/m, 'without a warning');

for my $name (sort keys %profile) {
	my $said = check("$ini/profiles/$name.ini");
	is(join('', grep { !/not in effect in this version/ } grep { /^(?:warning|error)/ } split /^/, $said), '', "$name: nothing an RFC advises against");
	my $text = slurp("$ini/profiles/$name.ini");
	my @set = map { $text =~ /^\Q$_\E = (\S+)$/m ? $1 : '-' } qw(update_segment refresh_schedule setup_early_hangup no_timer_interval 100rel);
	is_deeply(\@set, $profile{$name}, "$name: its values");
}
my $satellite = slurp("$ini/profiles/satellite.ini");
like($satellite, qr/^t1_min = 2s$/m, 'satellite: T1 of 2 s at least');
like($satellite, qr/^resend_interval = (?:\S+, ){5}\S+$/m, 'satellite: six stages');
is_deeply([sort map { m{([^/]+)\.ini$} } glob "$ini/profiles/*"], [sort keys %profile], 'these profiles and no others');

my $said = `$velador -t -c $ini/velador.ini.sample -o session.ttl=5x -o 'gateway carrier.address=nowhere.invalid' 2>&1`;
is($? >> 8, 1, 'a bad setting: exit 1');
like($said, qr/^error: -o: session\.ttl: "5x" is not understood; give a duration from 1s to 1d$/m, 'and why');
$said = `$velador -t -c $ini/velador.ini.sample -o 'gateway carrier.address=nowhere.invalid' 2>&1`;
is($? >> 8, 1, 'a name that does not resolve: exit 1');
like($said, qr/^error: \S+velador\.ini\.sample:\d+: gateway carrier\.address: nowhere\.invalid: /m, 'and where');

done_testing();
